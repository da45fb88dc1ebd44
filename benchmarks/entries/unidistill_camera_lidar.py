_base_ = 'bev_scenes.py'
family = 'bev-lidar_'
teacher_family = 'bev-camera_'
method = 'unidistill_camera_lidar'
teacher = dict(config='configs/demo/bev-camera_scenes-nuscenes.py', iters=1000)
student = dict(config='configs/demo/bev-lidar_scenes-nuscenes.py', iters=1000)
distilled = dict(config='configs/demo/unidistill'
                 '_bev-camera_bev-lidar_scenes-nuscenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.unidistill.loss_weight': [0.3, 1.0]}
