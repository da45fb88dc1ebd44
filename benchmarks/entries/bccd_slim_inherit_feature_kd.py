_base_ = 'gfl_slim_bccd.py'
method = 'bccd_slim_inherit_feature_kd'
label = "FeatureKD, from the teacher's weights"
distilled = dict(config='configs/bccd/inherit-feature-kd_gfl-mobilenet-v2_'
                 'gfl-mobilenet-v2-slim_bccd.py')
distilled_grid = {
    'model.distillers.feature_kd.loss_weight.ratio': [0.3, 1.0, 3.0]
}
