# The teacher: CenterPoint on pillars of 0.2 m on object-complete frames of nuScenes.
_base_ = 'mmdet3d::centerpoint/centerpoint_pillar02_second_secfpn_head-circlenms_8xb4-cyclic-20e_nus-3d.py'
from mmkd.methods.xray.data.pipelines import \
    with_complete_objects  # noqa: E402

train_dataloader = with_complete_objects(
    _base_.train_dataloader,  # noqa: F821
    keep='teacher',
    database=True)
