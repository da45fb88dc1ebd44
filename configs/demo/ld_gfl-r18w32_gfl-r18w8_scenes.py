_base_ = 'gfl_r18w8_fpn_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/gfl_r18w32_fpn_scenes.py',
            ckpt='work_dirs/gfl_r18w32_fpn_scenes/export/student.pth')),
    # The terms for boxes are sums over the images of a step.
    distillers=dict(ld=dict(type='LD')))
