# The student: one camera and a residual branch.
_base_ = [
    '_base_/bev-camera_model.py', '_base_/kitti_bev.py',
    '_base_/schedule_one_cycle.py', 'mmdet3d::_base_/default_runtime.py'
]
train_dataloader = dict(
    batch_size=1,
    dataset=dict(
        pipeline={{_base_.camera_train_pipeline}},
        modality={{_base_.camera_modality}}))
val_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.camera_test_pipeline}},
        modality={{_base_.camera_modality}}))
test_dataloader = val_dataloader
model = dict(img_bev_encoder=dict(type='mmkd.ResidualBranches'))
