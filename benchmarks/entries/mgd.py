_base_ = 'retinanet_scenes.py'
method = 'mgd'
distilled = dict(config='configs/demo/mgd'
                 '_retinanet-r18w32_retinanet-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.mgd.loss_weight': [2e-5, 1e-4]}
