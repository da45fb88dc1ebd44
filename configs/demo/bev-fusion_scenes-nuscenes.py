_base_ = [
    '../_base_/models/bev-fusion_scenes-nuscenes.py',
    '../_base_/datasets/scenes_nuscenes_bev.py',
    '../_base_/schedules/scenes_lidar.py'
]
