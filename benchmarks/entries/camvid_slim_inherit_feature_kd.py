_base_ = 'deeplabv3plus_slim_camvid.py'
method = 'camvid_slim_inherit_feature_kd'
label = "FeatureKD, from the teacher's weights"
distilled = dict(
    config='configs/camvid/inherit-feature-kd_deeplabv3plus-mobilenet-v2_'
    'deeplabv3plus-mobilenet-v2-slim_camvid.py')
distilled_grid = {
    'model.distillers.feature_kd.loss_weight.ratio': [0.3, 1.0, 3.0]
}
