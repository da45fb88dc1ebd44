_base_ = 'deeplabv3plus_scenes.py'
method = 'mgd_segmentation'
label = 'MGD'
distilled = dict(config='configs/demo/'
                 'mgd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.mgd.loss_weight.ratio': [0.3, 1.0]}
