_base_ = [
    '../_base_/models/bev-lidar_scenes-kitti.py',
    '../_base_/datasets/scenes_kitti_bev.py',
    '../_base_/schedules/scenes_lidar.py'
]
train_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.lidar_train_pipeline}},
        modality={{_base_.lidar_modality}}))
val_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.lidar_test_pipeline}},
        modality={{_base_.lidar_modality}}))
test_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.lidar_test_pipeline}},
        modality={{_base_.lidar_modality}}))
