# Six images of 80 x 176, lifted at stride 8 with a metre to a depth bin.
_base_ = 'bev_scenes-nuscenes.py'
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
        type='mmkd.LSSViewTransform',
        in_channels=64,
        out_channels=32,
        point_cloud_range={{_base_.grid_range}},
        voxel_size=[0.8, 0.8, 8],
        depth=dict(low=1, high=37, num=36),
        pixels='centre',
        depths='centre'))
