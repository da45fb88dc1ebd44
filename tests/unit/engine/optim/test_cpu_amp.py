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


def test_two_stage_detector():
    """Its NMS and RoIAlign are operators of mmcv."""
    from mmkd.core.network import build_network
    from mmkd.engine.optim import CPUAmpOptimWrapper
    from mmkd.testing import detection_batch
    from mmkd.testing.networks import two_stage_detector
    detector = build_network(two_stage_detector(4), 'student').train()
    wrapper = CPUAmpOptimWrapper(
        optimizer=torch.optim.SGD(detector.parameters(), 1e-3))
    losses = detector.train_step(detection_batch(), wrapper)
    assert all(x.isfinite() for x in losses.values())
