_base_ = 'pointpillars_scenes.py'
method = 'sparsekd'
distilled = dict(config='configs/demo/sparsekd'
                 '_pointpillars-w32_pointpillars-w8_scenes-kitti.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.sparsekd.loss_weight': [0.3, 1.0]}
