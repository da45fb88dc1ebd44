import pytest

from mmkd.errors import ConfigError
from mmkd.methods.transkd.options import TransKDOptions


@pytest.mark.parametrize('arguments, message', [
    (dict(variant='gl+ea'), 'variant is one of base, gl, ea'),
    (dict(feature_loss='mse'), 'feature_loss'),
    (dict(squeeze_norm='LN'), 'squeeze_norm'),
    (dict(embedding_weights=1.0), 'embedding_weights is a list'),
    (dict(embedding_weights=[1, 'a', 1, 1]), 'embedding_weights is a list'),
    (dict(embedding_weights=[1, 1, 1, -1]),
     'embedding_weights must be at least 0'),
    (dict(feature_weights=[]), 'feature_weights is a list'),
    (dict(gl_init=[1.0]), 'gl_init is two numbers'),
    (dict(feature_tau=0), 'feature_tau'),
    (dict(logits_tau=-1.), 'logits_tau'),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        TransKDOptions(**arguments)
