# Stage 1 of MasKD: receptive tokens of DeepLabV3 R101, on Cityscapes, on 4 GPUs
# with 4 images each.
_base_ = 'mmseg::deeplabv3/deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py'
train_dataloader = dict(batch_size=4)
model = dict(
    _delete_=True,
    type='mmkd.RewritingModel',
    teacher=dict(
        cfg='mmseg::deeplabv3/'
        'deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py',
        ckpt='official'),
    rewriter=dict(type='mmkd.ReceptiveTokens'))
optim_wrapper = dict(optimizer=dict(lr=0.1, weight_decay=1e-3))
param_scheduler = [
    dict(
        type='PolyLR',
        eta_min=1e-4,
        power=0.9,
        begin=0,
        end=10000,
        by_epoch=False)
]
train_cfg = dict(max_iters=10000, val_interval=10000)
default_hooks = dict(checkpoint=dict(interval=2500))
