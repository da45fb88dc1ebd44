# PointPillars on KITTI, half as wide.
_base_ = '_base_/pointpillars-s_160e_kitti.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet3d::pointpillars/'
            'pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class.py',
            ckpt='official')),
    distillers=dict(sparsekd=dict(type='SparseKD', weights=dict(cls=15.))))
custom_hooks = [
    dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)
]
