# RetinaNet, X101-64x4d to R50, on COCO.
# MasKD 41.0 mAP, student 37.4 (the authors' figures). Their teacher with 41.0
# is another than that of their config, which is the one below.
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::retinanet/'
            'retinanet_x101-64x4d_fpn_ms-640-800-3x_coco.py',
            ckpt='official')),
    distillers=dict(
        maskd=dict(
            type='MasKD',
            masks='checkpoints/maskd-tokens_retinanet-x101_2k_coco.pth',
            warmup=8500,
            box_loss='smooth_l1')))
optim_wrapper = dict(
    optimizer=dict(lr=0.02), clip_grad=dict(max_norm=35, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, end=1000),
    dict(type='MultiStepLR', milestones=[16, 22], gamma=0.1, end=24)
]
custom_hooks = [dict(type='mmkd.InheritTeacherHook')]
