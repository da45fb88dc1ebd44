# The student starts from the leading channels of the teacher, and then trains
# alone.
_base_ = 'retinanet_r18w8_fpn_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/retinanet_r18w32_fpn_scenes.py',
            ckpt='work_dirs/retinanet_r18w32_fpn_scenes/export/student.pth')),
    distillers=dict())
custom_hooks = [
    dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)
]
