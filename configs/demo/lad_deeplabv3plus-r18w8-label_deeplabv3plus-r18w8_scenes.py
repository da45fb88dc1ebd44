_base_ = 'deeplabv3plus_r18w8-d16_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/deeplabv3plus_r18w8-d16-label_scenes.py',
            ckpt='work_dirs/demo/label_teacher/iter_600.pth')),
    distillers=dict(cwd=dict(type='CWD')))
