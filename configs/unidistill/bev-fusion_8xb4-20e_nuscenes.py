_base_ = [
    '_base_/bev-fusion_model.py', '_base_/nuscenes_bev.py',
    'mmdet3d::_base_/schedules/cyclic-20e.py',
    'mmdet3d::_base_/default_runtime.py'
]
