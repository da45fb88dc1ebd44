_base_ = 'pointpillars_scenes.py'
method = 'pointdistiller'
label = 'PointDistiller, as released'
distilled = dict(config='configs/demo/pointdistiller'
                 '_pointpillars-w32_pointpillars-w8_scenes-kitti.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.pointdistiller.loss_weight': [0.5, 2.0]}
