_base_ = 'segformer_mit-w16_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/segformer_mit-w32_scenes.py',
            ckpt='work_dirs/demo/segformer_teacher/export/student.pth')),
    distillers=dict(transkd=dict(type='TransKD')))
