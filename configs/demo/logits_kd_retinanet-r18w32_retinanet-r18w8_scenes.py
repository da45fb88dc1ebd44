# The sigmoids of all anchors, with a weight that is calibrated by gradients.
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
        logits_kd=dict(
            type='LogitsKD',
            place='dense_logits',
            divergence='binary',
            loss_weight=dict(type='auto', ratio=1.))))
