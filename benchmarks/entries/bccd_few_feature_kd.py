_base_ = 'gfl_bccd_few.py'
method = 'bccd_few_feature_kd'
label = 'FeatureKD, 21 labels'
distilled = dict(
    config='configs/bccd/feature-kd_gfl-mobilenet-v2_gfl-r18w8_bccd.py')
distilled_grid = {'model.distillers.feature_kd.loss_weight.ratio': [1.0, 3.0]}
