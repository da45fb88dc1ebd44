# The loss between responses alone.
_base_ = 'unidistill_lidar_camera.py'
method = 'unidistill_response'
label = 'UniDistill, response'
distilled = dict(
    options={
        'model.distillers.unidistill.weights.feature': 0.,
        'model.distillers.unidistill.weights.relation': 0.
    })
