from collections import namedtuple

import pytest
import torch
from torch import nn

from mmkd.core.taps import Tap, TapWriter
from mmkd.errors import ConfigError, TapError

Pair = namedtuple('Pair', 'low high')
#: An output of each kind, and taps of one, several or all of its tensors.
OUTPUTS = {
    'tensor': (lambda x: x, ['part']),
    'tuple': (lambda x: (x, x + 1, x + 2), ['part', 'part[1]', 'part[0:2]']),
    'list': (lambda x: [x, x + 1], ['part[-1]']),
    'named tuple': (lambda x: Pair(x, x + 1), ['part[1]', 'part']),
    'dict':
    (lambda x: dict(a=x, b=[x, x + 1]), ['part[a]', 'part[b]', 'part[b][1]']),
}


class Part(nn.Module):

    def __init__(self, make):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(3.))
        self.make = make

    def forward(self, x, scale=1):
        return self.make(x * self.weight * scale)


class Net(nn.Module):

    def __init__(self, make=lambda x: x):
        super().__init__()
        self.part = Part(make)
        self.unused = nn.Identity()
        self.head = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.head(self.part(x=x, scale=2))


def written(network, *taps, write=None):
    taps = [Tap.parse(tap) for tap in taps]
    return TapWriter(
        network, taps, 'the teacher', write
        or (lambda tap, levels: [10 * level for level in levels]))


@pytest.mark.parametrize('kind, tap', [(kind, tap)
                                       for kind, (_, taps) in OUTPUTS.items()
                                       for tap in taps])
def test_outputs(kind, tap):
    make = OUTPUTS[kind][0]
    part = nn.Module()
    part.part = Part(make)
    tap = Tap.parse(tap)
    x = torch.ones(2)
    before = part.part(x)
    with written(part, tap):
        after = part.part(x)
    assert type(after) is type(before)
    for new, old in zip(tap.select(after), tap.select(before), strict=True):
        assert new.equal(10 * old)
    # All others are as they were.
    restored = tap.replace_in(after, tap.select(before))
    assert str(restored) == str(before) == str(part.part(x))


def test_inputs():
    x = torch.ones(2)
    network = Net()
    with written(network, 'part@input'):
        assert network(x).equal(60 * x)
    with written(network, 'head@input'):
        assert network(x).equal(60 * x)


def test_two_taps_of_a_module():
    network = Net()
    with written(network, 'part@input', 'part'):
        assert network(torch.ones(1)) == 600


def test_gradient_passes_through_frozen_weights():
    network = Net().eval().requires_grad_(False)
    token = nn.Parameter(torch.tensor(5.))
    # The head writes into its input, which is no leaf.
    with written(network, 'part@input', write=lambda _, x: [x[0] * token]):
        network(torch.ones(1)).sum().backward()
    assert token.grad == 6 and network.part.weight.grad is None


def test_the_network_is_as_before():
    network = Net()
    x = torch.ones(2)
    before = network(x)
    with pytest.raises(RuntimeError, match='size of tensor'):
        with written(network, 'part', 'part@input'):
            network(torch.ones(2) + torch.ones(3))
    with written(network, 'part'):
        network(x)
    assert network(x).equal(before)
    assert not any(module._forward_hooks or module._forward_pre_hooks
                   for module in network.modules())


def test_types_stay():
    network = Net().half()
    with written(network, 'part', write=lambda _, x: [x[0].double()]):
        assert network(torch.ones(2).half()).dtype == torch.float16


@pytest.mark.parametrize('tap, message', [
    ('unused', "'unused' of the teacher never fired, so nothing"),
    ('part[0]', 'leads into a tensor'),
    ('nothing', "no module 'nothing'"),
])
def test_taps_that_cannot_write(tap, message):
    network = Net()
    with pytest.raises((ConfigError, TapError), match=message):
        with written(network, tap):
            network(torch.ones(2, 2))


def test_options_that_cannot_write():
    for tap in (dict(module='part',
                     calls='all'), dict(module='part', part=(0, 2))):
        with pytest.raises(ConfigError, match="'part' of the teacher cannot"):
            written(Net(), tap)


def test_shapes_must_stay():
    network = Net()
    with pytest.raises(TapError, match=r'shapes \[\(2,\)\].* have \[\(1,\)\]'):
        with written(network, 'part', write=lambda _, x: [x[0][:1]]):
            network(torch.ones(2))
