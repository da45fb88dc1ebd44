# The student starts from trained weights: YOLOX-Nano's backbone with its
# weights, and a neck and head of half the width; 0.8 M parameters. Batch
# normalisation keeps its statistics, for the images are few.
_base_ = [
    '../_base_/datasets/coco_small.py',
    '../_base_/schedules/scenes_detection.py'
]
# CSPDarknet freezes its first stages after DDP has counted their parameters.
find_unused_parameters = True
norm_cfg = dict(type='BN', momentum=0.03, eps=0.001)
act_cfg = dict(type='Swish')
model = dict(
    type='YOLOX',
    data_preprocessor=dict(type='DetDataPreprocessor', pad_size_divisor=32),
    backbone=dict(
        type='CSPDarknet',
        deepen_factor=0.33,
        widen_factor=0.25,
        use_depthwise=True,
        frozen_stages=2,
        norm_cfg=norm_cfg,
        norm_eval=True,
        act_cfg=act_cfg,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='{{$YOLOX_NANO:yolox_nano.pth}}',
            prefix='backbone.')),
    neck=dict(
        type='YOLOXPAFPN',
        in_channels=[64, 128, 256],
        out_channels=32,
        num_csp_blocks=1,
        use_depthwise=True,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg),
    bbox_head=dict(
        type='YOLOXHead',
        num_classes=5,
        in_channels=32,
        feat_channels=32,
        use_depthwise=True,
        norm_cfg=norm_cfg,
        act_cfg=act_cfg),
    train_cfg=dict(assigner=dict(type='SimOTAAssigner', center_radius=2.5)),
    test_cfg=dict(score_thr=0.01, nms=dict(type='nms', iou_threshold=0.65)))
