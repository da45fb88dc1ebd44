# The assistant of MonoTAKD: cameras that are told the depth of the points.
_base_ = [
    '../_base_/models/bev-camera_scenes-nuscenes.py',
    '../_base_/datasets/scenes_nuscenes_bev.py',
    '../_base_/schedules/scenes_lidar.py'
]
model = dict(
    img_bev_encoder=dict(
        type='mmkd.HeightCollapse', in_channels=32, out_channels=32),
    depth_source='points',
    depth_pooling='mean')
