_base_ = 'retinanet_scenes.py'
method = 'pkd'
distilled = dict(config='configs/demo/pkd'
                 '_retinanet-r18w32_retinanet-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.pkd.loss_weight': [2.0, 10.0]}
