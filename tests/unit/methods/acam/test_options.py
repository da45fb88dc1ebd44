import pytest

from mmkd.errors import ConfigError
from mmkd.methods.acam.options import ACAMOptions


@pytest.mark.parametrize('arguments, message', [
    (dict(query='both'), 'query is one of'),
    (dict(mask_source='student'), 'mask_source'),
    (dict(mask_grad='none'), 'mask_grad'),
    (dict(channel_units=6), 'channel_units'),
    (dict(div_reduction='sum'), 'div_reduction'),
    (dict(num_masks=0), 'num_masks'),
    (dict(max_kv=1.5), 'max_kv'),
    (dict(use_spatial=False, use_channel=False), 'no masks'),
    (dict(stabilise=True, residual='teacher'), 'leave them out'),
    (dict(mask_source='teacher', residual='teacher'), 'fuses none'),
    (dict(mask_source='teacher', query='student'),
     "query='student' has no effect with mask_source='teacher'; leave it out, "
     "or set mask_source='cooperative'"),
    (dict(mask_source='teacher', max_kv=9), 'max_kv=9 has no effect'),
    (dict(mask_source='teacher_fixed',
          detach_inputs=False), 'detach_inputs=False has no effect'),
    (dict(mask_source='teacher_fixed', mask_grad='div_only'),
     "mask_grad='div_only' has no effect with mask_source='teacher_fixed'; .*"
     "set mask_source='teacher'"),
    (dict(mask_source='teacher_fixed',
          div_reduction='ratio'), "div_reduction='ratio' has no effect"),
    (dict(use_channel=False, channel_units='full'),
     "channel_units='full' has no effect with use_channel=False"),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ACAMOptions(**arguments)


def test_options_that_have_an_effect_or_their_default():
    ACAMOptions(mask_source='teacher', mask_grad='div_only')
    ACAMOptions(
        mask_source='teacher_fixed', query='teacher', detach_inputs=True)
