# The assistant: cameras that are told the depth of the points.
_base_ = '../unidistill/bev-camera_8xb4-20e_nuscenes.py'
modality = dict(use_lidar=True, use_camera=True)
train_dataloader = dict(
    dataset=dict(
        dataset=dict(pipeline={{_base_.train_pipeline}}, modality=modality)))
val_dataloader = dict(
    dataset=dict(pipeline={{_base_.test_pipeline}}, modality=modality))
test_dataloader = val_dataloader
model = dict(
    img_bev_encoder=dict(
        type='mmkd.HeightCollapse', in_channels=256, out_channels=256),
    depth_source='points',
    depth_pooling='mean')
