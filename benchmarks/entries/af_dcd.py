_base_ = 'deeplabv3plus_scenes.py'
method = 'af_dcd'
distilled = dict(config='configs/demo/'
                 'af_dcd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.af_dcd.loss_weight': [0.3, 1.0]}
