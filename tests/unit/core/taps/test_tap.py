import pytest
import torch

from mmkd.core.taps.tap import Tap, TapSpec
from mmkd.errors import ConfigError, TapError


@pytest.mark.parametrize('text, fields', [
    ('neck', ('neck', (), 'output', None)),
    ('neck[0]', ('neck', (0, ), 'output', None)),
    ('neck[-1]', ('neck', (-1, ), 'output', None)),
    ('backbone[1:4]', ('backbone', (slice(1, 4), ), 'output', None)),
    ('backbone[:2]', ('backbone', (slice(None, 2), ), 'output', None)),
    ('a.0.b[1][x]', ('a.0.b', (1, 'x'), 'output', None)),
    ("head['cls'][0]", ('head', ('cls', 0), 'output', None)),
    ('decode_head.conv_seg@input', ('decode_head.conv_seg',
                                    (), 'input', None)),
    ('assistant:neck[2]', ('neck', (2, ), 'output', 'assistant')),
    ('big:a.b[0]@input', ('a.b', (0, ), 'input', 'big')),
])
def test_text(text, fields):
    tap = Tap.parse(text)
    assert (tap.module, tap.index, tap.where, tap.network) == fields
    assert Tap.parse(tap.path) == tap
    assert Tap.parse(tap) is tap


def test_dict():
    tap = Tap.parse(dict(module='t:neck', index=1, calls='all', copy=True))
    assert (tap.module, tap.index, tap.network) == ('neck', (1, ), 't')
    assert tap.calls == 'all' and tap.copy is True
    assert Tap.parse(dict(module='neck', index=[0, 'x'])).index == (0, 'x')


@pytest.mark.parametrize('wrong', [
    '', 'neck[', 'neck[]', 'a b', 'neck@output', ':neck', 3, None,
    dict(path='neck'),
    dict(module='neck', level=1),
    dict(module='neck', calls='twice'),
    dict(module='neck', where='inside')
])
def test_unreadable(wrong):
    with pytest.raises(ConfigError, match='cannot read the tap'):
        Tap.parse(wrong)


def test_equal_where_the_place_is_the_same():
    assert Tap.parse('neck[1:3]') == Tap.parse(' neck[1:3] ')
    assert len({Tap.parse('neck[1:3]'), Tap.parse('neck[1:3]')}) == 1
    others = ['neck', 't:neck[1:3]', 'neck[1:3]@input']
    others += [dict(module='neck[1:3]', copy=True)]
    others += [dict(module='neck[1:3]', calls='all')]
    assert all(Tap.parse(o) != Tap.parse('neck[1:3]') for o in others)


def test_select():
    a, b, c = (torch.full((1, ), float(i)) for i in range(3))
    value = (a, [b, c])
    assert Tap.parse('m[1]').select(value) == [b, c]
    assert Tap.parse('m[1][0]').select(value) == [b]
    assert Tap.parse('m[0:1]').select(value) == [a]
    assert Tap.parse('m[x]').select(dict(x=c)) == [c]
    assert Tap.parse('m').select(a) == [a]


@pytest.mark.parametrize('tap, message', [
    ('m[5]', r'no \[5\] in a tuple of 2'),
    ('m[x]', r'no \[x\] in a tuple'),
    ('m', r"must lead to a tensor.*add an index such as 'm\[0\]'"),
])
def test_select_wrong(tap, message):
    with pytest.raises(TapError, match=message):
        Tap.parse(tap).select((torch.zeros(1), dict(x=torch.zeros(2))))


def test_spec():
    spec = TapSpec('neck', (1, 8, 16, 32), input_size=(64, 128))
    assert (spec.channels, spec.stride) == (8, 4)
    assert TapSpec('tokens', (1, 8, 16), input_size=(64, 128)).stride is None
