_base_ = 'feature_kd_segmentation.py'
method = 'inherit_feature_kd_segmentation'
label = "FeatureKD, from the teacher's weights"
distilled = dict(
    config='configs/demo/inherit-'
    'feature_kd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes.py')
