# One cycle to 2e-4, peak at 40 %, in each iteration; the first moment's decay
# runs against it.
max_epochs = 10
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW', lr=2e-4, weight_decay=0.01, betas=(0.95, 0.999)),
    clip_grad=dict(max_norm=10, norm_type=2))
param_scheduler = [
    dict(
        type='OneCycleLR',
        eta_max=2e-4,
        pct_start=0.4,
        div_factor=10,
        final_div_factor=1000,
        total_steps=max_epochs,
        begin=0,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingMomentum',
        eta_min=0.85,
        begin=0,
        end=4,
        by_epoch=True,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingMomentum',
        eta_min=0.95,
        begin=4,
        end=max_epochs,
        by_epoch=True,
        convert_to_iter_based=True)
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=1)
val_cfg = dict()
test_cfg = dict()
