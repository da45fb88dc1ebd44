_base_ = [
    '_base_/bev-camera_model.py', '_base_/nuscenes_bev.py',
    'mmdet3d::_base_/schedules/cyclic-20e.py',
    'mmdet3d::_base_/default_runtime.py'
]
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            pipeline={{_base_.camera_train_pipeline}},
            modality=dict(use_lidar=False, use_camera=True))))
val_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.camera_test_pipeline}},
        modality=dict(use_lidar=False, use_camera=True)))
test_dataloader = val_dataloader
optim_wrapper = dict(
    optimizer=dict(
        type='AdamW', lr=2e-4, weight_decay=0.01, betas=(0.9, 0.99)),
    clip_grad=dict(max_norm=35, norm_type=2))
param_scheduler = [
    dict(
        type='OneCycleLR',
        eta_max=2e-4,
        pct_start=0.4,
        total_steps=20,
        begin=0,
        end=20,
        by_epoch=True,
        convert_to_iter_based=True)
]
