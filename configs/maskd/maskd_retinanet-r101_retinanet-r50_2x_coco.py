# RetinaNet, R101 to R50, on COCO.
# Teacher 38.9, student 37.4, MasKD 39.9 mAP (the authors' figures).
_base_ = 'mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.DistillationModel',
    student={{_base_.model}},
    teachers=dict(
        teacher=dict(
            cfg='mmdet::retinanet/retinanet_r101_fpn_2x_coco.py',
            ckpt='official')),
    distillers=dict(
        maskd=dict(
            type='MasKD',
            masks='checkpoints/maskd-tokens_retinanet-r101_2k_coco.pth')))
optim_wrapper = dict(
    optimizer=dict(lr=0.02), clip_grad=dict(max_norm=35, norm_type=2))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, end=1000),
    dict(type='MultiStepLR', milestones=[16, 22], gamma=0.1, end=24)
]
custom_hooks = [dict(type='mmkd.InheritTeacherHook')]
