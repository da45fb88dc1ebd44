_base_ = '_base_/gfl-mobilenet-v2_gfl-r18w8.py'
model = dict(
    distillers=dict(
        logits_kd=dict(
            type='LogitsKD',
            place='dense_logits',
            divergence='binary',
            loss_weight=dict(type='auto', ratio=1.))))
