_base_ = 'deeplabv3plus_scenes.py'
method = 'cirkd'
distilled = dict(config='configs/demo/'
                 'cirkd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.cirkd.loss_weight': [0.3, 1.0]}
