# What the detectors in bird's-eye view share in the layout of nuScenes: a
# head of three tasks on 64 x 64 cells of 0.8 m.
_base_ = 'bev_scenes.py'
grid_range = [-25.6, -25.6, -5, 25.6, 25.6, 3]
pillar_size = [0.4, 0.4, 8]
model = dict(
    bbox_head=dict(
        type='CenterHead',
        in_channels=64,
        tasks=[
            dict(num_class=1, class_names=['car']),
            dict(
                num_class=4,
                class_names=[
                    'truck', 'construction_vehicle', 'bus', 'trailer'
                ]),
            dict(
                num_class=5,
                class_names=[
                    'barrier', 'motorcycle', 'bicycle', 'pedestrian',
                    'traffic_cone'
                ]),
        ],
        common_heads=dict(
            reg=(2, 2), height=(1, 2), dim=(3, 2), rot=(2, 2), vel=(2, 2)),
        share_conv_channel=16,
        norm_cfg={{_base_.norm_cfg}},
        bbox_coder=dict(
            type='CenterPointBBoxCoder',
            pc_range=grid_range[:2],
            post_center_range=[-30, -30, -10, 30, 30, 10],
            max_num=200,
            score_threshold=0.05,
            out_size_factor=2,
            voxel_size=pillar_size[:2],
            code_size=9),
        separate_head=dict(
            type='SeparateHead', head_conv=8, init_bias=-2.19, final_kernel=3),
        loss_cls=dict(type='mmdet.GaussianFocalLoss', reduction='mean'),
        loss_bbox=dict(
            type='mmdet.L1Loss', reduction='mean', loss_weight=0.25),
        norm_bbox=True),
    train_cfg=dict(
        point_cloud_range=grid_range,
        grid_size=[128, 128, 1],
        voxel_size=pillar_size,
        out_size_factor=2,
        dense_reg=1,
        gaussian_overlap=0.1,
        max_objs=200,
        min_radius=2,
        code_weights=[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.2, 0.2]),
    test_cfg=dict(
        post_center_limit_range=[-30, -30, -10, 30, 30, 10],
        max_per_img=200,
        max_pool_nms=False,
        min_radius=[4, 12, 1],
        score_threshold=0.05,
        pc_range=grid_range[:2],
        out_size_factor=2,
        voxel_size=pillar_size[:2],
        nms_type='rotate',
        pre_max_size=200,
        post_max_size=60,
        nms_thr=0.2))
