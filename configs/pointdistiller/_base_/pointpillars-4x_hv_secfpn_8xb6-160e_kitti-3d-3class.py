_base_ = 'mmdet3d::pointpillars/pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class.py'
from mmkd.methods.pointdistiller import thin  # noqa: E402

model = thin(_base_.model, 4)  # noqa: F821
