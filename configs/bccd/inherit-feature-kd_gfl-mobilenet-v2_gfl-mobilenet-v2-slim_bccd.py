# The student starts from the leading channels of the teacher, and learns from
# its features.
_base_ = 'inherit_gfl-mobilenet-v2_gfl-mobilenet-v2-slim_bccd.py'
model = dict(
    distillers=dict(
        feature_kd=dict(
            type='FeatureKD', loss_weight=dict(type='auto', ratio=1.))))
