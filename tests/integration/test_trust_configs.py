"""Mistakes in configs: the short form of acceptance/configs.py."""
import json
from pathlib import Path

from acceptance import configs

ROOT = Path(__file__).parents[2]


def test_short_form(tmp_path):
    out = tmp_path / 'configs.json'
    status = configs.main(['--short', '--out', str(out)])
    table = json.loads(out.read_text())
    assert status == 0, [x for x in table['cases'] if not x['passed']]
    assert table['tried'] == table['passed'] == 30
    assert table['verdicts']['clear'] >= 20
    assert str(ROOT) not in out.read_text()


def test_judging():
    """What counts as what."""
    from mmkd.errors import ConfigError

    def verdict(run, certain=False):
        mistake = configs.Mistake('cwd', 'type', 'tau = None', ('tau', ),
                                  certain, {})
        return configs.judge(mistake, run)['verdict']

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


def test_choice_is_the_same(tmp_path):
    first, second = ([
        mistake[:3]
        for mistake, _ in configs.mistakes(60, 3, str(tmp_path), False)
    ] for _ in range(2))
    assert first == second and len({x[0] for x in first}) > 10
