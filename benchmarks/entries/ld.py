_base_ = 'gfl_scenes.py'
method = 'ld'
distilled = dict(config='configs/demo/ld_gfl-r18w32_gfl-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.ld.loss_weight': [0.3, 1.0]}
