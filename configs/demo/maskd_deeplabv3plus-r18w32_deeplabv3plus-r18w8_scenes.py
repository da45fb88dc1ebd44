# Stage 2 of MasKD; stage 1 is maskd-tokens_deeplabv3plus-r18w32_scenes.py.
_base_ = 'deeplabv3plus_r18w8-d16_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/deeplabv3plus_r18w32-d16_scenes.py',
            ckpt='work_dirs/deeplabv3plus_r18w32-d16_scenes/export/student.pth'
        )),
    distillers=dict(
        maskd=dict(
            type='MasKD',
            masks='work_dirs/maskd-tokens_deeplabv3plus-r18w32_scenes/'
            'iter_200.pth')))
