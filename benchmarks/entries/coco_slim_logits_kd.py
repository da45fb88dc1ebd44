_base_ = 'yolox_slim_coco_small.py'
method = 'coco_slim_logits_kd'
label = 'LogitsKD'
distilled = dict(
    config='configs/coco_small/logits-kd_yolox-nano_yolox-slim_coco-small.py')
distilled_grid = {
    'model.distillers.logits_kd.loss_weight.ratio': [0.3, 1.0, 3.0]
}
