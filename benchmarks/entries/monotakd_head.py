# The loss of the head's outputs alone.
_base_ = 'monotakd.py'
method = 'monotakd_head'
label = 'MonoTAKD, head'
distilled = dict(
    options={'model.distillers.monotakd.weights': dict(intra=0., residual=0.)})
