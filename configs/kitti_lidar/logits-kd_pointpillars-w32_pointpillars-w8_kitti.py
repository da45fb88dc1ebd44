_base_ = '_base_/pointpillars-w32_pointpillars-w8.py'
model = dict(
    distillers=dict(
        logits_kd=dict(
            type='LogitsKD',
            place='class_maps',
            divergence='binary',
            loss_weight=dict(type='auto', ratio=1.))))
