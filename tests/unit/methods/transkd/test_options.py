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
    (dict(gl_heads=2), "gl_heads=2 has no effect with variant='base'; leave "
     "it out, or set variant='gl'"),
    (dict(variant='ea', gl_residual=True), "no effect with variant='ea'"),
    (dict(gl_init=[0., 0.]), 'gl_init=.* has no effect'),
    (dict(variant='gl', ea_own_init=[1.] * 4), "set variant='ea'"),
    (dict(ea_aligned_init=[1.] * 4), 'ea_aligned_init=.* has no effect'),
    (dict(feature_tau=2.),
     "feature_tau=2.0 has no effect with feature_loss='hcl'"),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        TransKDOptions(**arguments)


def test_options_that_have_an_effect_or_their_default():
    TransKDOptions(gl_init=[0.5, 0.5], feature_tau=1)
    TransKDOptions(variant='gl', gl_heads=2, gl_residual=True)
    TransKDOptions(variant='ea', ea_own_init=[1.] * 3)
    TransKDOptions(feature_loss='pixel_kl', feature_tau=2.)
