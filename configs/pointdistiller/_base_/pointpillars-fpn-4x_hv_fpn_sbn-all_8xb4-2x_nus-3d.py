_base_ = 'mmdet3d::pointpillars/pointpillars_hv_fpn_sbn-all_8xb4-2x_nus-3d.py'
from mmkd.methods.pointdistiller import thin  # noqa: E402

model = thin(_base_.model, 4)  # noqa: F821
