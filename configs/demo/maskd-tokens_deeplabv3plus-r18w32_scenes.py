# Stage 1 of MasKD: receptive tokens of the segmentation demo's teacher.
_base_ = 'deeplabv3plus_r18w32-d16_scenes.py'
max_iters = 200
model = dict(
    _delete_=True,
    type='mmkd.RewritingModel',
    teacher=dict(
        cfg='{{fileDirname}}/deeplabv3plus_r18w32-d16_scenes.py',
        ckpt='work_dirs/deeplabv3plus_r18w32-d16_scenes/export/student.pth'),
    rewriter=dict(type='mmkd.ReceptiveTokens'))
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=20),
    dict(
        type='PolyLR',
        eta_min=1e-4,
        power=0.9,
        begin=20,
        end=max_iters,
        by_epoch=False)
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
