import ast
from pathlib import Path

import pytest

from mmkd.errors import ConfigError
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import argument_names, construct
from mmkd.utils.renamed import RENAMED, RENAMED_VALUES, with_new_names

ROOT = Path(__file__).resolve().parents[3]
#: A value of each old name, where it is not a weight.
VALUES = {
    ('BPKD', 'alpha'): 3.0,
    ('FGD', 'family'): 'fcos',
    ('MGD', 'family'): 'two_stage',
    ('MonoTAKD', 'normalize'): 'minmax',
    ('PointDistiller', 'family'): 'second',
    ('PointDistiller', 'source'): 'paper',
    ('TransKD', 'alpha'): [1., 2., 3., 4.],
    ('UniDistill', 'adapter'): None,
}
NEEDED = dict(
    UniDistill=dict(
        path='fusion2lidar', point_cloud_range=[0., 0, 0, 1, 1, 1]))


@pytest.fixture
def said(monkeypatch):
    """What was logged."""
    texts = []
    monkeypatch.setattr('mmkd.utils.renamed.print_log',
                        lambda text, *_: texts.append(text))
    return texts


def put(name, value):
    for part in reversed(name.split('.')):
        value = {part: value}
    return value


@pytest.mark.parametrize('owner, old', RENAMED)
def test_old_names_build_the_same_distiller(owner, old, said):
    new = RENAMED[owner, old]
    names = (new, ) if isinstance(new, str) else new
    value = VALUES.get((owner, old), 7.5)
    cls = DISTILLERS.get(f'mmkd.{owner}')
    argument = old.split('.')[0]
    # A key of an argument that stays, or no argument any more.
    assert (names[0].split('.')[0] == argument) == (
        argument in argument_names(cls))
    needed = NEEDED.get(owner, {})
    given = {**needed, **put(old, value)}
    before = construct(cls, given, 'distiller kd')
    assert given == {**needed, **put(old, value)}
    warning, = said
    assert f'`{old}` of {owner}' in warning
    assert all(f'`{name}`' in warning for name in names)
    now = dict(needed)
    for name in names:
        outer, _, inner = name.partition('.')
        now[outer] = {**now.get(outer, {}), inner: value} if inner else value
    after = construct(cls, now, 'distiller kd')
    assert len(said) == 1
    plain = {k: v for k, v in vars(before).items() if k != '_modules'}
    assert plain == {k: v for k, v in vars(after).items() if k != '_modules'}
    assert vars(construct(cls, needed, 'distiller kd')) != vars(after)


@pytest.mark.parametrize('owner, argument, old', RENAMED_VALUES)
def test_old_values_become_the_new_ones(owner, argument, old, said):
    cls = DISTILLERS.get(f'mmkd.{owner}')
    new = RENAMED_VALUES[owner, argument, old]
    assert with_new_names(cls, {argument: old}, argument_names(cls), 'kd') == {
        argument: new
    }
    warning, = said
    assert f'{argument}={old!r} of {owner} is now called {new!r}' in warning
    construct(cls, {argument: new}, 'kd')
    assert len(said) == 1


@pytest.mark.parametrize(
    'file', sorted((ROOT / 'configs').rglob('*.py')), ids=lambda f: f.stem)
def test_shipped_configs_use_the_new_names(file):
    for call in ast.walk(ast.parse(file.read_text(encoding='utf-8'))):
        if isinstance(call, ast.Call):
            given = {k.arg: k.value for k in call.keywords}
            kind = getattr(given.get('type'), 'value', None)
            old = {
                name.split('.')[0]
                for (owner, name), new in RENAMED.items()
                if owner == kind and not str(new).startswith('weights.global_')
            }
            assert not old & set(given)


def test_base_classes_count():

    class Own(DISTILLERS.get('mmkd.BPKD')):
        pass

    assert with_new_names(Own, dict(lambda_edge=1., weights=dict(body=2.)), (),
                          'own') == dict(weights=dict(edge=1., body=2.))
    # Unless the subclass has an argument of this name.
    given = dict(lambda_edge=1.)
    assert with_new_names(Own, given, ['lambda_edge'], 'own') == given


def test_none_meant_the_default():
    cls = DISTILLERS.get('mmkd.XRay')
    assert with_new_names(cls, dict(lambda_cls=None), (), 'kd') == {}


def test_both_names_are_refused():
    cls = DISTILLERS.get('mmkd.BPKD')
    with pytest.raises(ConfigError, match='old name of `weights.edge`'):
        with_new_names(cls, dict(lambda_edge=1., weights=dict(edge=1.)), (),
                       'kd')
