# Stage 1 of MasKD: receptive tokens of the detection demo's teacher.
_base_ = 'retinanet_r18w32_fpn_scenes.py'
max_iters = 200
model = dict(
    _delete_=True,
    type='mmkd.RewritingModel',
    teacher=dict(
        cfg='{{fileDirname}}/retinanet_r18w32_fpn_scenes.py',
        ckpt='work_dirs/retinanet_r18w32_fpn_scenes/export/student.pth'),
    rewriter=dict(type='mmkd.ReceptiveTokens'))
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=0.01, weight_decay=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(
        type='PolyLR',
        eta_min=1e-6,
        power=0.9,
        begin=20,
        end=max_iters,
        by_epoch=False)
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
