_base_ = 'gfl_bccd.py'
method = 'bccd_mgd'
distilled = dict(config='configs/bccd/mgd_gfl-mobilenet-v2_gfl-r18w8_bccd.py')
distilled_grid = {'model.distillers.mgd.loss_weight.ratio': [0.3, 1.0, 3.0]}
