_base_ = '_base_/deeplabv3plus-mobilenet-v2_deeplabv3plus-r18w16.py'
model = dict(
    distillers=dict(
        feature_kd=dict(
            type='FeatureKD',
            student='backbone[3]',
            teacher='backbone[3]',
            loss_weight=dict(type='auto', ratio=1.))))
