"""Mistakes in configs: the short form of benchmarks/trust_configs.py."""
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def trust_configs():
    sys.path.insert(0, str(ROOT / 'benchmarks'))
    try:
        import trust_configs
    finally:
        sys.path.pop(0)
    return trust_configs


def test_short_form(trust_configs, tmp_path):
    out = tmp_path / 'configs.json'
    status = trust_configs.main(['--short', '--out', str(out)])
    table = json.loads(out.read_text())
    assert status == 0, [x for x in table['cases'] if not x['passed']]
    assert table['tried'] == table['passed'] == 30
    assert table['verdicts']['clear'] >= 20
    assert str(ROOT) not in out.read_text()


def test_judging(trust_configs):
    """What counts as what."""
    from mmkd.errors import ConfigError

    def verdict(run, certain=False):
        mistake = trust_configs.Mistake('cwd', 'type', 'tau = None', ('tau', ),
                                        certain, {})
        return trust_configs.judge(mistake, run)['verdict']

    def raises(error):

        def run():
            raise error

        return run

    assert verdict(raises(ConfigError('tau is a number'))) == 'clear'
    assert verdict(raises(ConfigError('something'))) == 'unclear'
    assert verdict(raises(TypeError('tau'))) == 'deep trace'
    assert verdict(lambda: '') == 'sane'
    assert verdict(lambda: '', certain=True) == 'silent nonsense'
    assert verdict(lambda: 'the loss is nan') == 'silent nonsense'


def test_choice_is_the_same(trust_configs, tmp_path):
    first, second = ([
        mistake[:3]
        for mistake, _ in trust_configs.mistakes(60, 3, str(tmp_path), False)
    ] for _ in range(2))
    assert first == second and len({x[0] for x in first}) > 10
