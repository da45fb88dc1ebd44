# The student of MonoTAKD: one camera, and a residual branch.
_base_ = [
    '../_base_/models/bev-camera_scenes-kitti.py',
    '../_base_/datasets/scenes_kitti_bev.py',
    '../_base_/schedules/scenes_lidar.py'
]
train_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.camera_train_pipeline}},
        modality={{_base_.camera_modality}}))
val_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.camera_test_pipeline}},
        modality={{_base_.camera_modality}}))
test_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.camera_test_pipeline}},
        modality={{_base_.camera_modality}}))
model = dict(
    img_bev_encoder=dict(
        type='mmkd.ResidualBranches', alignment=dict(hidden_channels=16)))
