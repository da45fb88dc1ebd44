_base_ = [
    '_base_/bev-lidar_model.py', '_base_/nuscenes_bev.py',
    'mmdet3d::_base_/schedules/cyclic-20e.py',
    'mmdet3d::_base_/default_runtime.py'
]
train_dataloader = dict(
    dataset=dict(
        dataset=dict(
            pipeline={{_base_.lidar_train_pipeline}},
            modality=dict(use_lidar=True, use_camera=False))))
val_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.lidar_test_pipeline}},
        modality=dict(use_lidar=True, use_camera=False)))
test_dataloader = val_dataloader
