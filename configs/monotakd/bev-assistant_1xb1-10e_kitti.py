# The assistant: a camera that is told the depth of the points.
_base_ = [
    '_base_/bev-camera_model.py', '_base_/kitti_bev.py',
    '_base_/schedule_one_cycle.py', 'mmdet3d::_base_/default_runtime.py'
]
train_dataloader = dict(batch_size=1)
model = dict(depth_source='points', depth_pooling='mean')
