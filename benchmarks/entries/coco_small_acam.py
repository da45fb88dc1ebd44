_base_ = 'yolox_coco_small.py'
method = 'coco_small_acam'
distilled = dict(
    config='configs/coco_small/acam_yolox-nano_yolox-w8_coco-small.py')
distilled_grid = {'model.distillers.acam.loss_weight.ratio': [0.3, 1.0, 3.0]}
