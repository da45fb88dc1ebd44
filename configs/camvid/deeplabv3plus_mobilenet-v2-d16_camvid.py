# The teacher: MobileNetV2, trained on ImageNet; 5.5 M parameters.
_base_ = 'deeplabv3plus_r18w16-d16_camvid.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(1, 2, 4, 6),
        strides=(1, 2, 2, 2, 1, 1, 1),
        dilations=(1, 1, 1, 1, 1, 2, 2),
        norm_cfg=dict(type='BN', requires_grad=True),
        init_cfg=dict(
            type='Pretrained', checkpoint='{{$MOBILENETV2:mobilenetv2.pth}}')),
    decode_head=dict(
        in_channels=320, channels=128, c1_in_channels=24, c1_channels=32))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
