# The teacher: SECOND on object-complete frames of KITTI.
_base_ = 'mmdet3d::second/second_hv_secfpn_8xb6-80e_kitti-3d-3class.py'
from mmkd.methods.xray.data.pipelines import \
    with_complete_objects  # noqa: E402

train_dataloader = with_complete_objects(
    _base_.train_dataloader,  # noqa: F821
    keep='teacher',
    database=True)
