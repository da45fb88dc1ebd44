_base_ = '_base_/yolox-nano_yolox-slim.py'
model = dict(
    distillers=dict(
        pkd=dict(
            type='PKD',
            connector='auto',
            loss_weight=dict(type='auto', ratio=1.))))
