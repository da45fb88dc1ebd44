# The slim student with ImageNet weights of its own.
_base_ = 'deeplabv3plus_mobilenet-v2-slim-d16_camvid.py'
model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='{{$MOBILENETV2_SLIM:mobilenetv2_slim.pth}}',
            prefix='backbone.')))
