import torch
from torch import nn


def test_cpu_amp():
    from mmkd.engine.optim import CPUAmpOptimWrapper
    network = nn.Linear(2, 2)
    wrapper = CPUAmpOptimWrapper(
        optimizer=torch.optim.SGD(network.parameters(), 0.1),
        accumulative_counts=2)
    with wrapper.optim_context(network):
        out = network(torch.ones(1, 2))
    assert out.dtype == torch.bfloat16
    assert not torch.is_autocast_enabled('cpu')
    before = network.weight.clone()
    wrapper.update_params(out.float().sum())
    assert network.weight.equal(before)
    wrapper.update_params(network(torch.ones(1, 2)).sum())
    assert not network.weight.equal(before)
