# One image of 96 x 312, read at stride 8 by voxels of four heights.
_base_ = 'bev_scenes-kitti.py'
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=16),
    img_backbone=dict(
        type='mmdet.ResNet',
        depth=18,
        base_channels=16,
        stem_channels=16,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(1, 2),
        norm_cfg=dict(type='BN')),
    img_neck=dict(
        type='SECONDFPN',
        in_channels=[32, 64],
        out_channels=[32, 32],
        upsample_strides=[1, 2],
        norm_cfg={{_base_.norm_cfg}}),
    view_transform=dict(
        type='mmkd.SamplingViewTransform',
        in_channels=64,
        out_channels=16,
        point_cloud_range={{_base_.grid_range}},
        voxel_size=[0.5, 0.5, 1],
        depth=dict(low=2, high=42, num=40, mode='LID'),
        ignore_bin=True),
    img_bev_encoder=dict(
        type='mmkd.HeightCollapse', in_channels=64, out_channels=32))
