_base_ = 'centerpoint_scenes.py'
method = 'sparsekd_centerpoint'
distilled = dict(
    config='configs/demo/sparsekd'
    '_centerpoint-pillar-w32_centerpoint-pillar-w8_scenes-nuscenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.sparsekd.loss_weight': [0.3, 1.0]}
