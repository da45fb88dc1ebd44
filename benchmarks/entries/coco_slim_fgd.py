_base_ = 'yolox_slim_coco_small.py'
method = 'coco_slim_fgd'
distilled = dict(
    config='configs/coco_small/fgd_yolox-nano_yolox-slim_coco-small.py')
distilled_grid = {'model.distillers.fgd.loss_weight.ratio': [0.3, 1.0, 3.0]}
