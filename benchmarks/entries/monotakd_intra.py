# The loss between camera maps alone.
_base_ = 'monotakd.py'
method = 'monotakd_intra'
label = 'MonoTAKD, camera maps'
distilled = dict(options={
    'model.distillers.monotakd.weights':
    dict(residual=0., cls=0., box=0., dir=0.)
})
