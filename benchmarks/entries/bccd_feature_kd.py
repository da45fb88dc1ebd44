_base_ = 'gfl_bccd.py'
method = 'bccd_feature_kd'
distilled = dict(
    config='configs/bccd/feature-kd_gfl-mobilenet-v2_gfl-r18w8_bccd.py')
distilled_grid = {
    'model.distillers.feature_kd.loss_weight.ratio': [0.3, 1.0, 3.0]
}
