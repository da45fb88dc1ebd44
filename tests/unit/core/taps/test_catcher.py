import pytest
import torch
from torch import nn

from mmkd.core.network import build_network
from mmkd.core.taps.catcher import TapCatcher
from mmkd.core.taps.tap import Tap
from mmkd.errors import ConfigError, TapError
from mmkd.testing import segmentation_batch, segmentor


class Net(nn.Module):
    """Calls one module twice, one never, and one by its method."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.relu = nn.ReLU(inplace=True)
        self.shared = nn.Conv2d(4, 4, 1)
        self.unused = nn.Conv2d(4, 4, 1)
        self.head = nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU())
        self.ran = []

    def forward(self, x):
        x = self.relu(self.stem(x))
        x = self.shared(self.shared(x))
        self.ran.append('shared')
        x = self.head.forward(x)
        self.ran.append('head')
        return x


def hooks(network):
    return [
        module for module in network.modules() if module._forward_hooks
        or module._forward_pre_hooks or module._backward_hooks
    ]


def catch(network, *taps, counts=None):
    taps = [Tap.parse(tap) for tap in taps]
    if counts:
        counts = dict(zip(taps, counts))
    catcher = TapCatcher(network, taps, 'the student', counts)
    with catcher:
        network(torch.ones(1, 3, 2, 2))
    return catcher, taps


def test_outputs_and_inputs():
    network = Net()
    catcher, (out, into) = catch(network, 'head.0', 'head.1@input')
    tensors = catcher.take()
    assert tensors[out][0] is tensors[into][0]
    assert tensors[out][0].shape == (1, 2, 2, 2)
    assert tensors[out][0].requires_grad
    assert not hooks(network)


def test_take_hands_over():
    catcher, (tap, ) = catch(Net(), 'head.0')
    catcher.take()
    assert not catcher._tensors and not catcher._versions


def test_all_calls_are_levels():
    catcher, (tap, ) = catch(Net(), dict(module='shared', calls='all'))
    assert [t.shape[1] for t in catcher.take()[tap]] == [4, 4]


def test_keyword_input():

    class Outer(nn.Module):

        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def forward(self, x):
            return self.inner(feature=x)

    class Inner(nn.Module):

        def forward(self, feature):
            return feature + 1

    catcher, (tap, ) = catch(Outer(), 'inner@input')
    assert catcher.take()[tap][0].eq(1).all()


def test_fires_twice():
    catcher, _ = catch(Net(), 'shared')
    with pytest.raises(TapError, match="fired 2 times.*calls='all'"):
        catcher.take()


def test_never_fires():
    catcher, _ = catch(Net(), 'unused')
    with pytest.raises(TapError, match="'unused' of the student never fired"):
        catcher.take()


def test_never_fires_but_a_part_does():
    catcher, _ = catch(Net(), 'head')
    with pytest.raises(TapError, match='inside of it, such as head.0, head.1'):
        catcher.take()


def test_segmentation_head_leads_to_conv_seg():
    network = build_network(segmentor(), 'the student').eval()
    batch = network.data_preprocessor(segmentation_batch(), True)
    with TapCatcher(network, [Tap('decode_head')], 'the student') as caught:
        network(**batch, mode='loss')
    with pytest.raises(TapError, match='such as decode_head.conv_seg'):
        caught.take()


def test_no_such_module():
    with pytest.raises(
            ConfigError, match='no module .shard.*Did you mean shared'):
        catch(Net(), 'shard')


def test_overwritten():
    network = Net()
    catcher, (tap, ) = catch(network, 'stem')
    assert catcher.overwritten == [tap]
    with pytest.raises(TapError, match='written into.*copy=True'):
        catcher.take()
    catcher, (tap, ) = catch(network, dict(module='stem', copy=True))
    expected = network.stem(torch.ones(1, 3, 2, 2))
    assert catcher.take()[tap][0].equal(expected)


def test_ends_with_the_last_tap():
    network = Net()
    catcher, (tap, other) = catch(
        network,
        dict(module='shared', calls='all'),
        'stem@input',
        counts=[2, 1])
    assert len(catcher.take()[tap]) == 2
    assert network.ran == [] and not hooks(network)


def test_errors_of_the_network_are_its_own():
    network = Net()
    with pytest.raises(RuntimeError, match='expected input'):
        with TapCatcher(network, [Tap('stem')], 'x'):
            network(torch.ones(1, 5, 2, 2))
    assert not hooks(network)
