_base_ = 'gfl_bccd_few.py'
method = 'bccd_few_logits_kd'
label = 'LogitsKD, 21 labels'
distilled = dict(
    config='configs/bccd/logits-kd_gfl-mobilenet-v2_gfl-r18w8_bccd.py')
distilled_grid = {'model.distillers.logits_kd.loss_weight.ratio': [1.0, 3.0]}
