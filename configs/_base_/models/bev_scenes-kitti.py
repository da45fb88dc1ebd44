# What the detectors in bird's-eye view share in the layout of KITTI: anchors
# on 64 x 64 cells of 0.6 m in front of the car.
_base_ = 'bev_scenes.py'
grid_range = [0, -19.2, -3, 38.4, 19.2, 1]
pillar_size = [0.3, 0.3, 4]
assigner = dict(
    type='Max3DIoUAssigner',
    iou_calculator=dict(type='mmdet3d.BboxOverlapsNearest3D'),
    pos_iou_thr=0.5,
    neg_iou_thr=0.35,
    min_pos_iou=0.35,
    ignore_iof_thr=-1)
model = dict(
    bbox_head=dict(
        type='Anchor3DHead',
        num_classes=3,
        in_channels=64,
        feat_channels=64,
        use_direction_classifier=True,
        assign_per_class=True,
        anchor_generator=dict(
            type='AlignedAnchor3DRangeGenerator',
            ranges=[[0, -19.2, -0.9, 38.4, 19.2, -0.9],
                    [0, -19.2, -0.9, 38.4, 19.2, -0.9],
                    [0, -19.2, -1.0, 38.4, 19.2, -1.0]],
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
        # The average precision of a weak camera detector, whose scores stay low,
        # is not to be cut off.
        score_thr=0.01,
        min_bbox_size=0,
        nms_pre=100,
        max_num=50))
