_base_ = 'centerpoint_scenes.py'
method = 'pointdistiller_centerpoint'
label = 'PointDistiller, as released'
distilled = dict(
    config='configs/demo/pointdistiller'
    '_centerpoint-pillar-w32_centerpoint-pillar-w8_scenes-nuscenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.pointdistiller.loss_weight': [0.5, 2.0]}
