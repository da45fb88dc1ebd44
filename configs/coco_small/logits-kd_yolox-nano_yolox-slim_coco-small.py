# The scores of the student's five classes, of the teacher's 80.
_base_ = '_base_/yolox-nano_yolox-slim.py'
model = dict(
    teachers=dict(teacher=dict(classes={{_base_.metainfo.classes}})),
    distillers=dict(
        logits_kd=dict(
            type='LogitsKD',
            place='dense_logits',
            divergence='binary',
            loss_weight=dict(type='auto', ratio=1.))))
