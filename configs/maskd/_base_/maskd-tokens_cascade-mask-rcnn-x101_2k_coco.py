# Stage 1 of MasKD: receptive tokens of Cascade Mask R-CNN X101-64x4d, on COCO
# with instance masks.
_base_ = 'mmdet::cascade_rcnn/cascade-mask-rcnn_x101-64x4d_fpn_20e_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.RewritingModel',
    teacher=dict(
        cfg='mmdet::cascade_rcnn/'
        'cascade-mask-rcnn_x101-64x4d_fpn_20e_coco.py',
        ckpt='official'),
    rewriter=dict(type='mmkd.ReceptiveTokens'))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Adam', lr=0.01, weight_decay=0.1))
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=2000, eta_min=1e-6, by_epoch=False)
]
train_cfg = dict(
    _delete_=True,
    type='IterBasedTrainLoop',
    max_iters=2000,
    val_interval=2000)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=500))
log_processor = dict(by_epoch=False)
