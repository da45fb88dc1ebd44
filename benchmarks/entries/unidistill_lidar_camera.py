_base_ = 'bev_camera_scenes.py'
teacher_family = 'bev-lidar_'
method = 'unidistill_lidar_camera'
label = 'UniDistill, LiDAR to camera'
teacher = dict(config='configs/demo/bev-lidar_scenes-nuscenes.py', iters=1000)
distilled = dict(config='configs/demo/unidistill'
                 '_bev-lidar_bev-camera_scenes-nuscenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.unidistill.loss_weight': [1.0]}
