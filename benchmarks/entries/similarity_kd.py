_base_ = 'retinanet_scenes.py'
method = 'similarity_kd'
distilled = dict(config='configs/demo/similarity_kd'
                 '_retinanet-r18w32_retinanet-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.similarity_kd.loss_weight': [0.5, 2.0]}
