# The loss of the residual branch alone.
_base_ = 'monotakd.py'
method = 'monotakd_residual'
label = 'MonoTAKD, residual'
distilled = dict(
    options={
        'model.distillers.monotakd.weights.intra': 0.,
        'model.distillers.monotakd.weights.cls': 0.,
        'model.distillers.monotakd.weights.box': 0.,
        'model.distillers.monotakd.weights.dir': 0.
    })
