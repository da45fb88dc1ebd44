_base_ = 'bev_camera_scenes.py'
teacher_family = 'bev-fusion_'
method = 'unidistill_fusion_camera'
label = 'UniDistill, fusion to camera'
teacher = dict(config='configs/demo/bev-fusion_scenes-nuscenes.py', iters=1000)
distilled = dict(config='configs/demo/unidistill'
                 '_bev-fusion_bev-camera_scenes-nuscenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.unidistill.loss_weight': [1.0]}
