_base_ = 'gfl_bccd.py'
method = 'bccd_pkd'
distilled = dict(config='configs/bccd/pkd_gfl-mobilenet-v2_gfl-r18w8_bccd.py')
distilled_grid = {'model.distillers.pkd.loss_weight.ratio': [0.3, 1.0, 3.0]}
