_base_ = 'deeplabv3plus_scenes.py'
method = 'cwd'
distilled = dict(config='configs/demo/'
                 'cwd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.cwd.loss_weight': [0.5, 2.0]}
