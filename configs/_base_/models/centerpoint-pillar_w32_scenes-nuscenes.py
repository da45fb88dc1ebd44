# CenterPoint of half width on 77 x 77 metres around the car, with pillars of
# 0.6 m and heat maps of 64 x 64 cells.
voxel_size = [0.6, 0.6, 8]
grid_range = [-38.4, -38.4, -5, 38.4, 38.4, 3]
norm_cfg = dict(type='BN', eps=1e-3, momentum=0.05)
model = dict(
    type='CenterPoint',
    data_preprocessor=dict(
        type='Det3DDataPreprocessor',
        voxel=True,
        voxel_layer=dict(
            max_num_points=16,
            point_cloud_range=grid_range,
            voxel_size=voxel_size,
            max_voxels=(8000, 8000))),
    pts_voxel_encoder=dict(
        type='PillarFeatureNet',
        in_channels=5,
        feat_channels=[32],
        with_distance=False,
        voxel_size=voxel_size,
        point_cloud_range=grid_range,
        norm_cfg=dict(type='BN1d', eps=1e-3, momentum=0.05),
        legacy=False),
    pts_middle_encoder=dict(
        type='PointPillarsScatter', in_channels=32, output_shape=(128, 128)),
    pts_backbone=dict(
        type='SECOND',
        in_channels=32,
        out_channels=[32, 64, 128],
        layer_nums=[1, 3, 3],
        layer_strides=[2, 2, 2],
        norm_cfg=norm_cfg,
        conv_cfg=dict(type='Conv2d', bias=False)),
    pts_neck=dict(
        type='SECONDFPN',
        in_channels=[32, 64, 128],
        out_channels=[32, 32, 32],
        upsample_strides=[1, 2, 4],
        norm_cfg=norm_cfg,
        upsample_cfg=dict(type='deconv', bias=False)),
    pts_bbox_head=dict(
        type='CenterHead',
        in_channels=96,
        tasks=[
            dict(num_class=1, class_names=['car']),
            dict(num_class=2, class_names=['truck', 'construction_vehicle']),
            dict(num_class=2, class_names=['bus', 'trailer']),
            dict(num_class=1, class_names=['barrier']),
            dict(num_class=2, class_names=['motorcycle', 'bicycle']),
            dict(num_class=2, class_names=['pedestrian', 'traffic_cone']),
        ],
        common_heads=dict(
            reg=(2, 2), height=(1, 2), dim=(3, 2), rot=(2, 2), vel=(2, 2)),
        share_conv_channel=32,
        norm_cfg=norm_cfg,
        bbox_coder=dict(
            type='CenterPointBBoxCoder',
            pc_range=grid_range[:2],
            post_center_range=[-45, -45, -10, 45, 45, 10],
            max_num=200,
            score_threshold=0.05,
            out_size_factor=2,
            voxel_size=voxel_size[:2],
            code_size=9),
        separate_head=dict(
            type='SeparateHead', head_conv=16, init_bias=-2.19,
            final_kernel=3),
        loss_cls=dict(type='mmdet.GaussianFocalLoss', reduction='mean'),
        loss_bbox=dict(
            type='mmdet.L1Loss', reduction='mean', loss_weight=0.25),
        norm_bbox=True),
    train_cfg=dict(
        pts=dict(
            point_cloud_range=grid_range,
            grid_size=[128, 128, 1],
            voxel_size=voxel_size,
            out_size_factor=2,
            dense_reg=1,
            gaussian_overlap=0.1,
            max_objs=200,
            min_radius=2,
            code_weights=[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.2])),
    test_cfg=dict(
        pts=dict(
            post_center_limit_range=[-45, -45, -10, 45, 45, 10],
            max_per_img=200,
            max_pool_nms=False,
            min_radius=[4, 12, 10, 1, 0.85, 0.175],
            score_threshold=0.05,
            pc_range=grid_range[:2],
            out_size_factor=2,
            voxel_size=voxel_size[:2],
            nms_type='rotate',
            pre_max_size=200,
            post_max_size=60,
            nms_thr=0.2)))
