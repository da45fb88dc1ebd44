# CenterPoint on pillars of 0.4 m on nuScenes, from pillars of 0.2 m.
_base_ = '_base_/centerpoint-pillar04_20e_nuscenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet3d::centerpoint/'
            'centerpoint_pillar02_second_secfpn_head-circlenms_8xb4-cyclic-20e_nus-3d.py',
            ckpt='official')),
    distillers=dict(
        sparsekd=dict(type='SparseKD', weights=dict(cls=7., reg=0.))))
custom_hooks = [
    dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)
]
