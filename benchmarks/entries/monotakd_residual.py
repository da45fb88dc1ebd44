# The loss of the residual branch alone.
_base_ = 'monotakd.py'
method = 'monotakd_residual'
label = 'MonoTAKD, residual'
distilled = dict(options={
    'model.distillers.monotakd.weights':
    dict(intra=0., cls=0., box=0., dir=0.)
})
