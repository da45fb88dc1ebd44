# PointPillars of half width on 40 x 40 metres in front of the car, with
# pillars of 0.25 m and a map of 80 x 80 cells.
voxel_size = [0.25, 0.25, 4]
grid_range = [0, -20, -3, 40, 20, 1]
norm_cfg = dict(type='BN', eps=1e-3, momentum=0.05)
assigner = dict(
    type='Max3DIoUAssigner',
    iou_calculator=dict(type='mmdet3d.BboxOverlapsNearest3D'),
    pos_iou_thr=0.5,
    neg_iou_thr=0.35,
    min_pos_iou=0.35,
    ignore_iof_thr=-1)
model = dict(
    type='VoxelNet',
    data_preprocessor=dict(
        type='Det3DDataPreprocessor',
        voxel=True,
        voxel_layer=dict(
            max_num_points=24,
            point_cloud_range=grid_range,
            voxel_size=voxel_size,
            max_voxels=(8000, 8000))),
    voxel_encoder=dict(
        type='PillarFeatureNet',
        in_channels=4,
        feat_channels=[32],
        with_distance=False,
        voxel_size=voxel_size,
        point_cloud_range=grid_range,
        norm_cfg=dict(type='BN1d', eps=1e-3, momentum=0.05),
        legacy=False),
    middle_encoder=dict(
        type='PointPillarsScatter', in_channels=32, output_shape=[160, 160]),
    backbone=dict(
        type='SECOND',
        in_channels=32,
        layer_nums=[1, 3, 3],
        layer_strides=[2, 2, 2],
        out_channels=[32, 64, 128],
        norm_cfg=norm_cfg),
    neck=dict(
        type='SECONDFPN',
        in_channels=[32, 64, 128],
        upsample_strides=[1, 2, 4],
        out_channels=[32, 32, 32],
        norm_cfg=norm_cfg),
    bbox_head=dict(
        type='Anchor3DHead',
        num_classes=3,
        in_channels=96,
        feat_channels=96,
        use_direction_classifier=True,
        assign_per_class=True,
        anchor_generator=dict(
            type='AlignedAnchor3DRangeGenerator',
            ranges=[[0, -20, -0.9, 40, 20, -0.9], [0, -20, -0.9, 40, 20, -0.9],
                    [0, -20, -1.0, 40, 20, -1.0]],
            sizes=[[0.7, 0.7, 1.7], [1.76, 0.65, 1.75], [4.2, 1.75, 1.5]],
            rotations=[0, 1.57],
            reshape_out=False),
        diff_rad_by_sin=True,
        bbox_coder=dict(type='DeltaXYZWLHRBBoxCoder'),
        loss_cls=dict(
            type='mmdet.FocalLoss',
            use_sigmoid=True,
            gamma=2.0,
            alpha=0.25,
            loss_weight=1.0),
        loss_bbox=dict(
            type='mmdet.SmoothL1Loss', beta=1.0 / 9.0, loss_weight=2.0),
        loss_dir=dict(
            type='mmdet.CrossEntropyLoss', use_sigmoid=False,
            loss_weight=0.2)),
    train_cfg=dict(
        assigner=[
            assigner, assigner,
            dict(
                assigner, pos_iou_thr=0.6, neg_iou_thr=0.45, min_pos_iou=0.45)
        ],
        allowed_border=0,
        pos_weight=-1,
        debug=False),
    test_cfg=dict(
        use_rotate_nms=True,
        nms_across_levels=False,
        nms_thr=0.05,
        score_thr=0.1,
        min_bbox_size=0,
        nms_pre=100,
        max_num=50))
