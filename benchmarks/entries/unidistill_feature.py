# The loss between features alone.
_base_ = 'unidistill_lidar_camera.py'
method = 'unidistill_feature'
label = 'UniDistill, feature'
distilled = dict(
    options={
        'model.distillers.unidistill.weights':
        dict(relation=0., response_cls=0., response_reg=0.)
    })
