_base_ = '_base_/yolox-nano_yolox-slim.py'
model = dict(
    distillers=dict(
        feature_kd=dict(
            type='FeatureKD', loss_weight=dict(type='auto', ratio=1.))))
