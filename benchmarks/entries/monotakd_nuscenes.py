_base_ = 'bev_scenes.py'
method = 'monotakd_nuscenes'
family = 'bev-lidar_bev-residual_'
# The same network, trained the same way.
teacher_family = 'bev-lidar_'
teacher = dict(config='configs/demo/bev-lidar_scenes-nuscenes.py', iters=1000)
more_teachers = dict(
    assistant=dict(
        config='configs/demo/monotakd-assistant'
        '_bev-lidar_bev-assistant_scenes-nuscenes.py',
        iters=1000))
student = dict(
    config='configs/demo/bev-residual_scenes-nuscenes.py', iters=1000)
distilled = dict(config='configs/demo/monotakd'
                 '_bev-lidar_bev-residual_scenes-nuscenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.monotakd.loss_weight': [0.3, 1.0]}
