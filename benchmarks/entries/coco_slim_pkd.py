_base_ = 'yolox_slim_coco_small.py'
method = 'coco_slim_pkd'
label = 'PKD'
distilled = dict(
    config='configs/coco_small/pkd_yolox-nano_yolox-slim_coco-small.py')
distilled_grid = {'model.distillers.pkd.loss_weight.ratio': [0.3, 1.0, 3.0]}
