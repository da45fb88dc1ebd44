# The student starts from the leading channels of the teacher, and learns from
# its features.
_base_ = 'inherit_deeplabv3plus-mobilenet-v2_deeplabv3plus-mobilenet-v2-slim_camvid.py'
model = dict(
    distillers=dict(
        feature_kd=dict(
            type='FeatureKD',
            student='backbone[3]',
            teacher='backbone[3]',
            loss_weight=dict(type='auto', ratio=1.))))
