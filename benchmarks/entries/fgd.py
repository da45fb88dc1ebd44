_base_ = 'retinanet_scenes.py'
method = 'fgd'
distilled = dict(config='configs/demo/fgd'
                 '_retinanet-r18w32_retinanet-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.fgd.loss_weight': [0.3, 1.0]}
