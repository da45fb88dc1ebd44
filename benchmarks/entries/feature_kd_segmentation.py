_base_ = 'deeplabv3plus_scenes.py'
method = 'feature_kd_segmentation'
label = 'FeatureKD'
distilled = dict(
    config='configs/demo/'
    'feature_kd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py')
# With the learning rate that was best for the student alone.
distilled_grid = {'model.distillers.feature_kd.loss_weight.ratio': [0.3, 1.0]}
