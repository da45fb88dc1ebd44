# PointPillars, 16x, on KITTI (mAP of the moderate objects, BEV / 3D).
# Teacher 68.3 / 60.3, student 61.8 / 53.5, PointDistiller 63.5 / 54.9.
_base_ = '_base_/pointpillars-16x_hv_secfpn_8xb6-160e_kitti-3d-3class.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet3d::pointpillars/'
            'pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class.py',
            ckpt='official')),
    distillers=dict(
        pointdistiller=dict(type='PointDistiller', preset='pointpillars_16x')))
