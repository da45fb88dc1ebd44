# The student that has ImageNet weights of its own learns from the features of
# the teacher.
_base_ = '_base_/deeplabv3plus-mobilenet-v2_deeplabv3plus-mobilenet-v2-slim.py'
model = dict(
    student=dict(
        backbone=dict(
            init_cfg=dict(
                _delete_=True,
                type='Pretrained',
                checkpoint='{{$MOBILENETV2_SLIM:mobilenetv2_slim.pth}}',
                prefix='backbone.'))),
    distillers=dict(
        feature_kd=dict(
            type='FeatureKD',
            student='backbone[3]',
            teacher='backbone[3]',
            loss_weight=dict(type='auto', ratio=1.))))
