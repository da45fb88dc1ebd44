_base_ = 'bev_scenes.py'
family = 'bev-lidar_'
teacher_family = 'bev-fusion_'
method = 'unidistill_fusion_lidar'
label = 'UniDistill, fusion to LiDAR'
teacher = dict(config='configs/demo/bev-fusion_scenes-nuscenes.py', iters=1000)
student = dict(config='configs/demo/bev-lidar_scenes-nuscenes.py', iters=500)
student_grid = {'optim_wrapper.optimizer.lr': [3e-3]}
distilled = dict(config='configs/demo/unidistill'
                 '_bev-fusion_bev-lidar_scenes-nuscenes.py')
# With the learning rate of the student alone.
distilled_grid = {'model.distillers.unidistill.loss_weight': [1.0]}
