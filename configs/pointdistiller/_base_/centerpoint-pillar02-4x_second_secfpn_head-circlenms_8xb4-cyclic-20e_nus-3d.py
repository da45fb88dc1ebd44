_base_ = 'mmdet3d::centerpoint/centerpoint_pillar02_second_secfpn_head-circlenms_8xb4-cyclic-20e_nus-3d.py'
from mmkd.methods.pointdistiller import thin  # noqa: E402

model = thin(_base_.model, 4)  # noqa: F821
