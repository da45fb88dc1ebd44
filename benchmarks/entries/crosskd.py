_base_ = 'retinanet_scenes.py'
method = 'crosskd'
distilled = dict(config='configs/demo/crosskd'
                 '_retinanet-r18w32_retinanet-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.crosskd.loss_weight': [0.3, 1.0]}
