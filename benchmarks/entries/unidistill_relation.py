# The loss between relations alone.
_base_ = 'unidistill_lidar_camera.py'
method = 'unidistill_relation'
label = 'UniDistill, relation'
distilled = dict(
    options={
        'model.distillers.unidistill.weights':
        dict(feature=0., response_cls=0., response_reg=0.)
    })
