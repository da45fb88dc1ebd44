import math

import pytest
import torch
from torch import nn

from mmkd.errors import CheckpointError
from mmkd.utils.checkpoint import Checkpoint, load_weights
from mmkd.utils.finite import check_finite, not_finite


def test_not_finite():
    assert not not_finite(torch.tensor([1., 2.]))
    assert not not_finite(torch.tensor([1, 2]))
    assert not_finite(torch.tensor([1., math.inf]))
    assert not not_finite(torch.tensor([math.inf]), only_nan=True)
    assert not_finite(torch.tensor([math.nan]).half(), only_nan=True)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_a_network(value):
    network = nn.BatchNorm1d(2)
    state = network.state_dict()
    check_finite(network, 'a.pth', 'the student')
    state['weight'] = torch.tensor([1., value])
    with pytest.raises(CheckpointError, match='a.pth: .*the student .*weight'):
        load_weights(network, Checkpoint(state, path='a.pth'), 'the student')


def test_masks():
    network = nn.Linear(1, 1)
    network.register_buffer('mask', torch.tensor([-math.inf, 0.]))
    check_finite(network, 'a.pth', 'x')
    network.mask[1] = math.nan
    with pytest.raises(CheckpointError, match='mask'):
        check_finite(network, 'a.pth', 'x')
