# The loss between features alone.
_base_ = 'unidistill_lidar_camera.py'
method = 'unidistill_feature'
label = 'UniDistill, feature'
distilled = dict(
    options={
        'model.distillers.unidistill.weights.relation': 0.,
        'model.distillers.unidistill.weights.response_cls': 0.,
        'model.distillers.unidistill.weights.response_reg': 0.
    })
