import logging

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from torch import nn
from torch.utils.data import DataLoader

from acceptance.processes import two
from mmkd.engine.resume import state
from mmkd.engine.resume.loader import ResumableLoader
from mmkd.engine.resume.state import gather_states, own_state, restore_tensors


def network(value=0.):
    model = nn.Sequential(nn.Linear(2, 1), nn.BatchNorm1d(1))
    for x in model.state_dict().values():
        x.fill_(value)
    return model


def loader():
    return ResumableLoader(DataLoader([1, 2, 3]))


def gather(model=None, data=None, validated=False):
    return gather_states(model or network(), data or loader(), dict(a=1),
                         validated)


def test_one_process():
    data = loader()
    states = gather(data=data, validated=True)
    own, = states['processes']
    assert states['validated'] and own['random'] == dict(a=1)
    assert own['loader'] == data.state_dict()
    # No gradient accumulates, and no other process has other buffers.
    assert own['gradients'] is None and own['buffers'] is None
    assert own_state(states, None) is own
    assert gather(data=DataLoader([1]))['processes'][0]['loader'] is None


def test_nothing_to_resume_from():
    assert own_state(None, None) is None
    assert own_state(gather(data=DataLoader([1])), None) is None


def test_accumulated_gradients():
    model = network()
    model[0].weight.grad = torch.ones(1, 2)
    states = gather(model)
    other = network()
    restore_tensors(other, states)
    assert other[0].weight.grad.equal(torch.ones(1, 2))
    assert other[0].bias.grad is None


def test_other_number_of_processes(monkeypatch, caplog):
    model = network(1.)
    model[0].weight.grad = torch.ones(1, 2)
    states = gather(model)
    monkeypatch.setattr(state, 'get_world_size', lambda: 2)
    with caplog.at_level(logging.WARNING):
        own = own_state(states, logging.getLogger())
    assert 'saved by 1 process(es), and this run has 2' in caplog.text
    # The batches that were seen are still left out.
    assert own['random'] is None
    assert own['loader'] == states['processes'][0]['loader']
    other = network()
    restore_tensors(other, states)
    assert other[0].weight.grad is None


def resume_in_two(rank):
    torch.distributed.init_process_group('gloo')
    model = network(float(rank))
    model[0].weight.grad = torch.full((1, 2), 5. + rank)
    states = gather(model)
    other = MMDistributedDataParallel(network(7.), broadcast_buffers=False)
    restore_tensors(other, states)
    return dict(
        buffers=[x.item() for x in other.buffers()],
        weight=other.module[1].weight.item(),
        gradient=other.module[0].weight.grad.tolist(),
        sync=other.require_forward_param_sync)


@pytest.mark.skipif(
    not torch.distributed.is_available(), reason='needs torch.distributed')
def test_buffers_of_each_process():
    for rank, found in enumerate(two(resume_in_two)):
        assert found['buffers'] == [rank] * 3 and found['weight'] == 7
        assert found['gradient'] == [[5. + rank] * 2]
        assert not found['sync']
