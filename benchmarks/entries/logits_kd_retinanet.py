_base_ = 'retinanet_scenes.py'
method = 'logits_kd_retinanet'
label = 'LogitsKD'
distilled = dict(config='configs/demo/logits_kd'
                 '_retinanet-r18w32_retinanet-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.logits_kd.loss_weight.ratio': [0.3, 1.0]}
