# The loss of the head's outputs alone.
_base_ = 'monotakd.py'
method = 'monotakd_head'
label = 'MonoTAKD, head'
distilled = dict(
    options={
        'model.distillers.monotakd.weights.intra': 0.,
        'model.distillers.monotakd.weights.residual': 0.
    })
