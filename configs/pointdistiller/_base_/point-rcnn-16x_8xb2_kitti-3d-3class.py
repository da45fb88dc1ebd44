_base_ = 'mmdet3d::point_rcnn/point-rcnn_8xb2_kitti-3d-3class.py'
from mmkd.methods.pointdistiller import thin  # noqa: E402

model = thin(_base_.model, 16)  # noqa: F821
