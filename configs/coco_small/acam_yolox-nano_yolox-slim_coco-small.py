_base_ = '_base_/yolox-nano_yolox-slim.py'
model = dict(
    distillers=dict(
        acam=dict(type='ACAM', loss_weight=dict(type='auto', ratio=1.))))
