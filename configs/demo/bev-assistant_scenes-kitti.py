# The assistant of MonoTAKD: a camera that is told the depth of the points.
_base_ = [
    '../_base_/models/bev-camera_scenes-kitti.py',
    '../_base_/datasets/scenes_kitti_bev.py',
    '../_base_/schedules/scenes_lidar.py'
]
model = dict(depth_source='points', depth_pooling='mean')
