# The loss between camera maps alone.
_base_ = 'monotakd.py'
method = 'monotakd_intra'
label = 'MonoTAKD, camera maps'
distilled = dict(
    options={
        'model.distillers.monotakd.weights.residual': 0.,
        'model.distillers.monotakd.weights.cls': 0.,
        'model.distillers.monotakd.weights.box': 0.,
        'model.distillers.monotakd.weights.dir': 0.
    })
