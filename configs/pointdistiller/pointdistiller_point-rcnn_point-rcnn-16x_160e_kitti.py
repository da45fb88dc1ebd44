# PointRCNN, 16x, on KITTI (mAP of the moderate objects, BEV / 3D).
# Teacher 75.3 / 70.9, student 73.4 / 67.7, PointDistiller 74.0 / 69.0.
_base_ = '_base_/point-rcnn-16x_8xb2_kitti-3d-3class.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet3d::point_rcnn/'
            'point-rcnn_8xb2_kitti-3d-3class.py',
            ckpt='official')),
    distillers=dict(
        pointdistiller=dict(type='PointDistiller', preset='point_rcnn')))
