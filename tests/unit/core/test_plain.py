"""Networks that train alone get the speed of a distilled student."""
import copy
import functools
import logging
import pickle

import pytest
import torch
from torch import nn

from mmkd.core import plain
from mmkd.core.network import build_network
from mmkd.core.plain import speed_up_plain
from mmkd.errors import ConfigError
from mmkd.families import Family
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor)
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator
from mmkd.testing.lidar import lidar_batch, pointpillars
from mmkd.utils.nested import clone


@pytest.fixture
def said(monkeypatch):
    found = []
    monkeypatch.setattr(
        plain,
        'print_log',
        lambda text, logger=None, level=logging.INFO: found.append(
            (level, text)))
    return found


def losses_of(network, batch):
    """The sum of the losses, with gradients."""
    torch.manual_seed(3)
    network.train()
    data = network.data_preprocessor(clone(batch), True)
    losses = network(**data, mode='loss')
    total, _ = network.parse_losses(losses)
    total.backward()
    return total


@pytest.mark.parametrize('make, batch', [
    (functools.partial(segmentor, dropout_ratio=0), segmentation_batch),
    (detector, detection_batch),
    (pointpillars, lidar_batch),
])
def test_losses_stay(make, batch):
    torch.manual_seed(0)
    network = build_network(make(), 'the network')
    fast = copy.deepcopy(network)
    state = torch.get_rng_state()
    speed_up_plain(fast, True, False)
    assert torch.equal(torch.get_rng_state(), state)
    assert fast.channels_last and not fast.compiled
    convs = [x for x in fast.backbone.modules() if isinstance(x, nn.Conv2d)]
    assert all(
        conv.weight.is_contiguous(memory_format=torch.channels_last)
        for conv in convs)
    seen = []
    convs[0].register_forward_pre_hook(
        lambda module, args: seen.append(args[0]))
    data = batch()
    torch.testing.assert_close(
        losses_of(fast, data), losses_of(network, data), rtol=1e-4, atol=1e-5)
    if make is not pointpillars:  # its points become a map inside
        assert all(
            x.is_contiguous(memory_format=torch.channels_last) for x in seen)
    # The checkpoint is that of the plain network.
    assert list(fast.state_dict()) == list(network.state_dict())


def test_without_a_backbone(said):
    network = nn.Sequential(nn.Conv2d(3, 8, 3))
    speed_up_plain(network, True, False)
    assert not network.channels_last
    level, text = said.pop()
    assert level == logging.WARNING and 'it has no backbone' in text


@pytest.mark.parametrize('error', [ConfigError, RuntimeError])
def test_without_an_example(monkeypatch, said, error):

    def fails(self, network, size):
        raise error('there is no example')

    network = build_network(segmentor(), 'the network')
    monkeypatch.setattr(type(plain.family_of(network)), 'example_batch', fails)
    assert issubclass(type(plain.family_of(network)), Family)
    speed_up_plain(network, True, False)
    assert not network.channels_last
    assert 'there is no example' in said.pop()[1]


def test_the_example_lies_where_training_happens(monkeypatch):
    """A GPU trains; the model is still on the CPU when it is built."""
    network = build_network(segmentor(), 'the network')
    seen = []

    def check(network, taps, counts, batch):
        seen.append(batch['inputs'].device)
        return True

    monkeypatch.setattr(plain, 'student_in_channels_last', check)
    with PretendedAccelerator():
        speed_up_plain(network, True, False)
    assert seen == [DEVICE]
    assert next(network.parameters()).device.type == 'cpu'


def test_pickled():
    network = build_network(segmentor(dropout_ratio=0), 'the network')
    speed_up_plain(network, True, False)
    copied = pickle.loads(pickle.dumps(network))
    batch = segmentation_batch()
    torch.testing.assert_close(
        losses_of(copied, batch), losses_of(network, batch))


def test_compiled():
    torch.manual_seed(0)
    network = build_network(segmentor(dropout_ratio=0), 'the network')
    compiled = copy.deepcopy(network)
    speed_up_plain(compiled, False, 'eager')
    assert compiled.compiled and not compiled.channels_last
    batch = segmentation_batch()
    torch.testing.assert_close(
        losses_of(compiled, batch), losses_of(network, batch))
