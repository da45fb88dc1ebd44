_base_ = 'deeplabv3plus_camvid.py'
method = 'camvid_feature_kd'
distilled = dict(config='configs/camvid/feature-kd_deeplabv3plus-'
                 'mobilenet-v2_deeplabv3plus-r18w16_camvid.py')
distilled_grid = {
    'model.distillers.feature_kd.loss_weight.ratio': [0.3, 1.0, 3.0]
}
