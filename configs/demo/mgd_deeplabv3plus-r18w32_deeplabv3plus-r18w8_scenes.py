_base_ = 'deeplabv3plus_r18w8-d16_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/deeplabv3plus_r18w32-d16_scenes.py',
            ckpt='work_dirs/demo/teacher/export/student.pth')),
    distillers=dict(
        mgd=dict(
            type='MGD',
            student='backbone[0:4]',
            teacher='backbone[0:4]',
            loss_weight=dict(type='auto', ratio=1.))))
