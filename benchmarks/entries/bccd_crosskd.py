_base_ = 'gfl_bccd.py'
method = 'bccd_crosskd'
distilled = dict(
    config='configs/bccd/crosskd_gfl-mobilenet-v2_gfl-r18w8_bccd.py')
distilled_grid = {
    'model.distillers.crosskd.loss_weight.ratio': [0.3, 1.0, 3.0]
}
