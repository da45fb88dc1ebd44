# The teacher: PointPillars with FPN on object-complete frames of nuScenes.
_base_ = 'mmdet3d::pointpillars/pointpillars_hv_fpn_sbn-all_8xb4-2x_nus-3d.py'
from mmkd.methods.xray.data.pipelines import \
    with_complete_objects  # noqa: E402

train_dataloader = with_complete_objects(
    _base_.train_dataloader,  # noqa: F821
    keep='teacher')
