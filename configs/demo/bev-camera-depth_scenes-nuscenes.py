# The camera student of UniDistill without a teacher: the LiDAR of the training
# frames supervises its depth, with the weight of BEVDepth (arXiv 2206.10092).
_base_ = 'bev-camera_scenes-nuscenes.py'
train_dataloader = dict(
    dataset=dict(
        pipeline={{_base_.train_pipeline}},
        modality=dict(use_lidar=True, use_camera=True)))
model = dict(depth_loss_weight=3.)
