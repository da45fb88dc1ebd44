# ResNet-50, one map at stride 16, 112 depth bins of half a metre.
_base_ = 'bev_model.py'
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32),
    img_backbone=dict(
        type='mmdet.ResNet',
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        frozen_stages=0,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    img_neck=dict(
        type='SECONDFPN',
        in_channels=[256, 512, 1024, 2048],
        out_channels=[128, 128, 128, 128],
        upsample_strides=[0.25, 0.5, 1, 2]),
    view_transform=dict(
        type='mmkd.LSSViewTransform',
        in_channels=512,
        out_channels=256,
        point_cloud_range={{_base_.grid_range}},
        voxel_size=[0.6, 0.6, 8],
        depth=dict(low=2, high=58, num=112)))
