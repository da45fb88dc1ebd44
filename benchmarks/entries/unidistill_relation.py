# The loss between relations alone.
_base_ = 'unidistill_lidar_camera.py'
method = 'unidistill_relation'
label = 'UniDistill, relation'
distilled = dict(
    options={
        'model.distillers.unidistill.weights.feature': 0.,
        'model.distillers.unidistill.weights.response_cls': 0.,
        'model.distillers.unidistill.weights.response_reg': 0.
    })
