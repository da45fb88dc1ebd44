_base_ = [
    '../_base_/models/centerpoint-pillar_w32_scenes-nuscenes.py',
    '../_base_/datasets/scenes_nuscenes.py',
    '../_base_/schedules/scenes_lidar.py'
]
