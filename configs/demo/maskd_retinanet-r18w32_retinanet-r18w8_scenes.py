# Stage 2 of MasKD; stage 1 is maskd-tokens_retinanet-r18w32_scenes.py.
_base_ = 'retinanet_r18w8_fpn_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/retinanet_r18w32_fpn_scenes.py',
            ckpt='work_dirs/retinanet_r18w32_fpn_scenes/export/student.pth')),
    distillers=dict(
        maskd=dict(
            type='MasKD',
            warmup=0.05,
            masks='work_dirs/maskd-tokens_retinanet-r18w32_scenes/'
            'iter_200.pth')))
