# The teacher.
_base_ = [
    '_base_/bev-lidar_model.py', '_base_/kitti_bev.py',
    '_base_/schedule_one_cycle.py', 'mmdet3d::_base_/default_runtime.py'
]
train_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.lidar_train_pipeline}},
        modality={{_base_.lidar_modality}}))
val_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.lidar_test_pipeline}},
        modality={{_base_.lidar_modality}}))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=3e-3))
param_scheduler = [
    dict(
        type='OneCycleLR',
        eta_max=3e-3,
        pct_start=0.4,
        div_factor=10,
        total_steps=80,
        begin=0,
        end=80,
        by_epoch=True,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingMomentum',
        eta_min=0.85,
        begin=0,
        end=32,
        by_epoch=True,
        convert_to_iter_based=True),
    dict(
        type='CosineAnnealingMomentum',
        eta_min=0.95,
        begin=32,
        end=80,
        by_epoch=True,
        convert_to_iter_based=True)
]
train_cfg = dict(max_epochs=80, val_interval=5)
