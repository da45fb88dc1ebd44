# A student that starts from trained weights: YOLOX-Nano's backbone with its
# weights, and a neck and head of half the width; 0.8 M parameters. Batch
# normalisation keeps its statistics, for the images are few.
_base_ = 'yolox_w8_coco-small.py'
# CSPDarknet freezes its first stages after DDP has counted their parameters.
find_unused_parameters = True
model = dict(
    backbone=dict(
        widen_factor=0.25,
        use_depthwise=True,
        frozen_stages=2,
        norm_eval=True,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='{{$YOLOX_NANO:yolox_nano.pth}}',
            prefix='backbone.')),
    neck=dict(in_channels=[64, 128, 256], use_depthwise=True),
    bbox_head=dict(use_depthwise=True))
