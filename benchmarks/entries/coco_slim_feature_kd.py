_base_ = 'yolox_slim_coco_small.py'
method = 'coco_slim_feature_kd'
label = 'FeatureKD'
distilled = dict(
    config='configs/coco_small/feature-kd_yolox-nano_yolox-slim_coco-small.py')
distilled_grid = {
    'model.distillers.feature_kd.loss_weight.ratio': [0.3, 1.0, 3.0]
}
