# ResNet-50 at stride 8, 120 growing bins, voxels of ten heights.
_base_ = 'bev_model.py'
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=8),
    img_backbone=dict(
        type='mmdet.ResNet',
        depth=50,
        num_stages=4,
        strides=(1, 2, 1, 1),
        dilations=(1, 1, 2, 4),
        out_indices=(2, 3),
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')),
    img_neck=dict(
        type='SECONDFPN',
        in_channels=[1024, 2048],
        out_channels=[128, 128],
        upsample_strides=[1, 1]),
    view_transform=dict(
        type='mmkd.SamplingViewTransform',
        in_channels=256,
        out_channels=64,
        point_cloud_range={{_base_.grid_range}},
        voxel_size=[0.32, 0.32, 0.4],
        depth=dict(low=2, high=46.8, num=120, mode='LID'),
        ignore_bin=True),
    img_bev_encoder=dict(
        type='mmkd.HeightCollapse', in_channels=640, out_channels=128))
