_base_ = 'gfl_bccd.py'
method = 'bccd_fgd'
distilled = dict(config='configs/bccd/fgd_gfl-mobilenet-v2_gfl-r18w8_bccd.py')
distilled_grid = {'model.distillers.fgd.loss_weight.ratio': [0.3, 1.0, 3.0]}
