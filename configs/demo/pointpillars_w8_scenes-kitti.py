_base_ = [
    '../_base_/models/pointpillars_w8_scenes-kitti.py',
    '../_base_/datasets/scenes_kitti.py', '../_base_/schedules/scenes_lidar.py'
]
