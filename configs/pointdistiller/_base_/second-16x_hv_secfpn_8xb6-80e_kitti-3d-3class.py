_base_ = 'mmdet3d::second/second_hv_secfpn_8xb6-80e_kitti-3d-3class.py'
from mmkd.methods.pointdistiller import thin  # noqa: E402

model = thin(_base_.model, 16)  # noqa: F821
