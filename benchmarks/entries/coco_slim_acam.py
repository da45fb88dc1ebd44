_base_ = 'yolox_slim_coco_small.py'
method = 'coco_slim_acam'
distilled = dict(
    config='configs/coco_small/acam_yolox-nano_yolox-slim_coco-small.py')
distilled_grid = {'model.distillers.acam.loss_weight.ratio': [0.3, 1.0, 3.0]}
