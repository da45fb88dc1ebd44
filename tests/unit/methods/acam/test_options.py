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
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ACAMOptions(**arguments)
