# Stage 1 of MasKD: receptive tokens of FCOS R101, on COCO.
# The multi-scale images come from mmdet's recipe. Bases cannot share keys, so
# this file repeats the schedule of tokens_2k.py.
_base_ = 'mmdet::fcos/fcos_r101-caffe_fpn_gn-head_ms-640-800-2x_coco.py'
model = dict(
    _delete_=True,
    type='mmkd.RewritingModel',
    teacher=dict(
        cfg='mmdet::fcos/fcos_r101-caffe_fpn_gn-head_ms-640-800-2x_coco.py',
        ckpt='official'),
    rewriter=dict(type='mmkd.ReceptiveTokens'))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='Adam', lr=0.01, weight_decay=1e-3),
    paramwise_cfg=None)
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
