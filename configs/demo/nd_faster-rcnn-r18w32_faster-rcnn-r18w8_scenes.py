_base_ = 'faster-rcnn_r18w8_fpn_scenes.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='{{fileDirname}}/faster-rcnn_r18w32_fpn_scenes.py',
            ckpt='work_dirs/faster-rcnn_r18w32_fpn_scenes/export/student.pth')
    ),
    distillers=dict(nd=dict(type='ND', mean_iters=100)))
