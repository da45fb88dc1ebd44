_base_ = 'gfl_bccd.py'
method = 'bccd_acam'
distilled = dict(config='configs/bccd/acam_gfl-mobilenet-v2_gfl-r18w8_bccd.py')
distilled_grid = {'model.distillers.acam.loss_weight.ratio': [0.3, 1.0, 3.0]}
