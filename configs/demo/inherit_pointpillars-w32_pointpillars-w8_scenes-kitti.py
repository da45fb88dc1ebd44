# The student starts from the leading channels of the teacher, and then trains
# alone.
_base_ = 'pointpillars_w8_scenes-kitti.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/pointpillars_w32_scenes-kitti.py',
            ckpt='work_dirs/pointpillars_w32_scenes-kitti/export/'
            'student.pth')),
    distillers=dict())
custom_hooks = [
    dict(type='mmkd.InheritTeacherHook', modules='all', narrow=True)
]
