_base_ = 'deeplabv3plus_scenes.py'
method = 'dist'
label = 'DIST'
distilled = dict(
    config='configs/demo/'
    'logits_kd-dist_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.dist.loss_weight': [0.3, 1.0]}
