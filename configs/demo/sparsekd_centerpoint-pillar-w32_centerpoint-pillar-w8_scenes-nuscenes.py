_base_ = 'centerpoint-pillar_w8_scenes-nuscenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/centerpoint-pillar_w32_scenes-nuscenes.py',
            ckpt='work_dirs/centerpoint-pillar_w32_scenes-nuscenes/export/'
            'student.pth')),
    distillers=dict(sparsekd=dict(type='SparseKD')))
custom_hooks = [
    dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)
]
