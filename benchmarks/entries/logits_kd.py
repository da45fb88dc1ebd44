_base_ = 'deeplabv3plus_scenes.py'
method = 'logits_kd'
distilled = dict(
    config='configs/demo/'
    'logits_kd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.logits_kd.loss_weight': [1.0, 3.0]}
