_base_ = 'pointpillars_scenes.py'
task = 'camera detection, KITTI'
method = 'monotakd'
family = 'bev-lidar_bev-residual_kitti_'
teacher = dict(config='configs/demo/bev-lidar_scenes-kitti.py', iters=800)
more_teachers = dict(
    assistant=dict(
        config='configs/demo/monotakd-assistant'
        '_bev-lidar_bev-assistant_scenes-kitti.py',
        iters=800))
student = dict(config='configs/demo/bev-residual_scenes-kitti.py', iters=800)
student_grid = {'optim_wrapper.optimizer.lr': [3e-3, 1e-2]}
distilled = dict(config='configs/demo/monotakd'
                 '_bev-lidar_bev-residual_scenes-kitti.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.monotakd.loss_weight': [0.3, 1.0]}
