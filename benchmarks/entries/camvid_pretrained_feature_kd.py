# Does distillation add to ImageNet weights that the student has already?
_base_ = 'deeplabv3plus_slim_camvid.py'
method = 'camvid_pretrained_feature_kd'
label = 'FeatureKD, student with ImageNet weights'
family = 'camvid_pretrained_'
student = dict(
    config='configs/camvid/deeplabv3plus_mobilenet-v2-slim-imagenet-d16_'
    'camvid.py',
    options={
        'model.backbone.init_cfg.checkpoint':
        '{root}/../weights/mobilenetv2_slim_mmseg.pth'
    })
distilled = dict(config='configs/camvid/feature-kd_deeplabv3plus-mobilenet-v2_'
                 'deeplabv3plus-mobilenet-v2-slim-imagenet_camvid.py')
distilled_grid = {
    'model.distillers.feature_kd.loss_weight.ratio': [0.3, 1.0, 3.0]
}
