# Shared by the methods across sensors: detectors in bird's-eye view, alone.
_base_ = 'centerpoint_scenes.py'
task = "detection in bird's-eye view, nuScenes"
family = 'bev_'
teacher = dict(config='configs/demo/bev-lidar_scenes-nuscenes.py', iters=1000)
student = dict(config='configs/demo/bev-camera_scenes-nuscenes.py', iters=1000)
tuning_iters = 500
student_grid = {'optim_wrapper.optimizer.lr': [3e-3, 1e-2]}
