# PointPillars, 4x, on KITTI (mAP of the moderate objects, BEV / 3D).
# Teacher 68.3 / 60.3, student 66.4 / 58.7, PointDistiller 69.2 / 62.1.
_base_ = '_base_/pointpillars-4x_hv_secfpn_8xb6-160e_kitti-3d-3class.py'
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
        pointdistiller=dict(type='PointDistiller', preset='pointpillars')))
