from dataclasses import dataclass
from typing import Dict, Literal, Optional, Sequence, Tuple

import pytest
import torch

from mmkd.errors import CheckpointError, ConfigError
from mmkd.utils.arguments import (argument_names, check_choices, check_in_use,
                                  construct, error_context, take_options)


class Base:

    def __init__(self, one, two=2):
        pass


class Child(Base):

    def __init__(self, three=3, **kwargs):
        super().__init__(**kwargs)


def test_arguments():
    assert argument_names(Child) == ['three', 'one', 'two']
    assert isinstance(construct(Child, dict(one=1), 'part'), Child)
    with pytest.raises(ConfigError) as error:
        construct(Child, dict(one=1, tow=2), 'part')
    assert str(error.value).startswith(
        "part: Child has no argument 'tow'. Did you mean two")
    with pytest.raises(ConfigError, match="part: .*missing.*'one'"):
        construct(Child, {}, 'part')


@dataclass(frozen=True)
class Switches:
    mode: Optional[Literal['x', 'y']] = None
    norm: Literal['BN', None] = 'BN'
    width: int = 4

    def __post_init__(self):
        check_choices('Method', type(self), **vars(self))


class WithOptions(Base):
    Options = Switches

    def __init__(self, three=3, **kwargs):
        self.options = take_options(Switches, kwargs)
        super().__init__(**kwargs)


def test_disabled_options_keep_their_default():

    @dataclass
    class Shape:
        sides: Sequence[int] = (1, 2)
        depth: Optional[int] = None

    disabled = ('sides', 'depth'), "kind='flat'", "kind='solid'"
    for shape in (Shape(), Shape([1, 2])):
        check_in_use('Method', shape, *disabled)
    with pytest.raises(ConfigError) as error:
        check_in_use('Method', Shape([2, 2]), *disabled)
    assert str(error.value) == (
        "Method: sides=[2, 2] has no effect with kind='flat'; leave it out, "
        "or set kind='solid'")
    check_in_use('Method', Shape([2, 2]), ('depth', ), *disabled[1:])


def test_options():
    assert argument_names(WithOptions) == [
        'three', 'mode', 'norm', 'width', 'one', 'two'
    ]
    built = construct(WithOptions, dict(one=1, mode='y', norm=None), 'part')
    assert built.options == Switches('y', None, 4)
    with pytest.raises(ConfigError, match='`width` of .* is an integer'):
        construct(WithOptions, dict(one=1, width='4'), 'part')
    with pytest.raises(ConfigError, match="`mode` of .* is 'x' or 'y' or N"):
        construct(WithOptions, dict(one=1, mode='z'), 'part')
    with pytest.raises(ConfigError, match="'mod'. Did you mean mode"):
        construct(WithOptions, dict(one=1, mod='x'), 'part')
    with pytest.raises(ConfigError, match="mode is one of x, y, not 'z'"):
        WithOptions(one=1, mode='z')
    with pytest.raises(ConfigError, match='norm is one of BN, None, not'):
        WithOptions(one=1, norm='GN')


class Typed:

    def __init__(self,
                 tau: float = 1.,
                 steps: Optional[Sequence[int]] = None,
                 size: Tuple[int, int] = (1, 1),
                 share: bool = False,
                 kind: Literal['a', 'b'] = 'a',
                 tensor: torch.Tensor = None,
                 options: Optional[Dict[str, float]] = None,
                 **kwargs):
        if tau < 0:
            raise ValueError('tau must be positive\nand more')


@pytest.mark.parametrize('right', [
    dict(tau=3, steps=[1, 2], size=[4, 5]),
    dict(steps=None, share=True, kind='b', options=dict(a=1)),
    dict(steps=(), options=None, other='anything'),
])
def test_types(right):
    construct(Typed, right, 'part')


@pytest.mark.parametrize('key, value, words', [
    ('tau', 'abc', 'a number'),
    ('tau', True, 'a number'),
    ('tau', float('nan'), 'a number'),
    ('steps', [1, 'x'], 'a list, each an integer or None'),
    ('steps', 3, 'a list, each an integer or None'),
    ('size', (1, 2, 3), 'a list of 2, each an integer'),
    ('share', 'maybe', 'True or False'),
    ('kind', 'c', "'a' or 'b'"),
    ('options', [1], 'a dict or None'),
])
def test_wrong_types(key, value, words):
    with pytest.raises(ConfigError) as error:
        construct(Typed, {key: value}, 'part')
    assert f'part: `{key}` of Typed is {words}, but got ' in str(error.value)


def test_wrong_entry_of_a_dict():
    with pytest.raises(ConfigError, match='`options.b` of Typed is a number'):
        construct(Typed, dict(options=dict(a=1, b='x')), 'part')


def test_reasons():
    with pytest.raises(ConfigError) as error:
        construct(Typed, dict(tau=-1), 'part')
    assert str(error.value) == 'part: ValueError: tau must be positive'
    with pytest.raises(ConfigError, match='^a part: KeyError: .x'):
        with error_context('a part'):
            dict()['x']
    with pytest.raises(ConfigError, match='AssertionError: assert 1 == 2'):
        with error_context('a part'):
            assert 1 == 2
    with pytest.raises(CheckpointError, match='^as it is$'):
        with error_context('a part'):
            raise CheckpointError('as it is')
