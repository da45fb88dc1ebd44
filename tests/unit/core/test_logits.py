import pytest

from mmkd.core.logits import check_logits, check_tau
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError


def test_classes_are_the_same():
    check_logits('M', [TapSpec('a', (2, 5, 4, 4))],
                 [TapSpec('b', (2, 5, 8, 8))])
    with pytest.raises(ConfigError, match="M compares maps.*'a' gives"):
        check_logits('M', [TapSpec('a', (2, 5))], [TapSpec('b', (2, 5))])
    with pytest.raises(ConfigError, match="5 channels at 'a'.* 6 at 'b'"):
        check_logits('M', [TapSpec('a', (2, 5, 4, 4))],
                     [TapSpec('b', (2, 6, 4, 4))])


@pytest.mark.parametrize('tau', [0, -1., '4', float('inf'), float('nan')])
def test_temperatures_are_positive(tau):
    check_tau('M', tau=4, other=.5)
    with pytest.raises(ConfigError, match='M: tau must be a positive'):
        check_tau('M', other=1., tau=tau)
