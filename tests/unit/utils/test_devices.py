import pytest
import torch
from torch import nn

from mmkd.errors import ConfigError
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator
from mmkd.utils.devices import existing_device, on_device, training_device


def test_training_device():
    with PretendedAccelerator():
        assert training_device() == DEVICE
    assert training_device() != DEVICE


def test_an_error_moves_the_network_back():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    network[0].weight = network[0].bias = nn.Parameter(torch.ones(2, 2))
    before = {
        **dict(network.named_parameters()),
        **dict(network.named_buffers())
    }
    with PretendedAccelerator(), pytest.raises(ValueError):
        with on_device(network, DEVICE):
            assert network[1].running_mean.device == DEVICE
            network[1].running_mean += 1
            raise ValueError
    after = {
        **dict(network.named_parameters()),
        **dict(network.named_buffers())
    }
    assert all(after[key] is value for key, value in before.items())
    assert network[0].weight is network[0].bias  # one weight of two names
    assert network[1].running_mean.eq(0).all()


def test_nothing_happens_on_the_same_device():
    network = nn.Linear(2, 2)
    with on_device(network, torch.device('cpu')):
        network.weight.data += 1
    assert network.weight.mean() > 0.5
    with on_device(nn.ReLU(), DEVICE):  # has no tensors to move
        pass


def test_existing_device():
    assert existing_device('cpu', 'x') == torch.device('cpu')
    with pytest.raises(ConfigError, match="x: there is no device 'cuda:99'"):
        existing_device('cuda:99', 'x')
    with pytest.raises(ConfigError, match="x: there is no device 'gpu'"):
        existing_device('gpu', 'x')
