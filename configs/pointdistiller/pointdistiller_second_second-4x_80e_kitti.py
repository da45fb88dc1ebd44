# SECOND, 4x, on KITTI (mAP of the moderate objects, BEV / 3D).
# Teacher 72.3 / 66.1, student 71.0 / 64.7, PointDistiller 73.2 / 66.2.
_base_ = '_base_/second-4x_hv_secfpn_8xb6-80e_kitti-3d-3class.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet3d::second/'
            'second_hv_secfpn_8xb6-80e_kitti-3d-3class.py',
            ckpt='official')),
    distillers=dict(
        pointdistiller=dict(type='PointDistiller', preset='second')))
