_base_ = '_base_/pointpillars-w32_pointpillars-w8.py'
model = dict(
    distillers=dict(
        feature_kd=dict(
            type='FeatureKD',
            student='neck[0]',
            teacher='neck[0]',
            loss_weight=dict(type='auto', ratio=1.))))
