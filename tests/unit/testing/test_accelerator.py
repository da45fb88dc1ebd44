import copy

import pytest
import torch
from mmcv.ops import furthest_point_sample, nms
from mmengine.device import get_device
from torch import nn

from mmkd.testing.accelerator import (DEVICE, DeviceTensor,
                                      PretendedAccelerator, values)


def test_values_and_devices():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    x = torch.rand(2, 3, 8, 8)
    wanted = copy.deepcopy(network)(x).mean()
    wanted.backward()
    with PretendedAccelerator() as accelerator:
        assert get_device() == DEVICE.type
        network.to(DEVICE)
        loss = network(x.to(DEVICE)).mean()
        loss.backward()
        assert loss.device == DEVICE and not accelerator.refused
        assert all(p.grad.device == DEVICE for p in network.parameters())
        assert values(loss).equal(wanted)
        assert torch.as_tensor([loss, 1.]).device.type == 'cpu'
    assert get_device() != DEVICE.type
    assert not torch.__future__.get_overwrite_module_params_on_conversion()


def test_mixed_precision():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    x = torch.rand(2, 3, 3, 3)
    with torch.autocast('cpu', torch.bfloat16):
        wanted = copy.deepcopy(network)(x)
    with PretendedAccelerator():
        network.to(DEVICE)
        with torch.autocast(DEVICE.type, torch.bfloat16):
            found = network(x.to(DEVICE))
            with torch.autocast(DEVICE.type, enabled=False):
                assert network(x.to(DEVICE)).dtype == torch.float32
        found.float().sum().backward()
        assert network[0].weight.grad.dtype == torch.float32
    assert found.dtype == torch.bfloat16 and values(found).equal(wanted)


@pytest.mark.parametrize('found, run', [
    ('item', lambda x, h: x.sum().item()),
    ('tolist', lambda x, h: x.tolist()),
    ('nonzero', lambda x, h: x.nonzero()),
    ('index by mask', lambda x, h: x[x > 1]),
    ('copy to host', lambda x, h: x.cpu()),
    ('copy to device', lambda x, h: h.to(DEVICE)),
    ('copy_ across', lambda x, h: x.copy_(h)),
    ('index with indices on the host', lambda x, h: x[[0, 2]]),
    ('_linalg_check_errors', lambda x, h: torch.linalg.inv(x.diag() + 1.)),
])
def test_waits(found, run):
    x = torch.arange(3.)
    with PretendedAccelerator() as accelerator:
        on = x.to(DEVICE)
        accelerator.waits.clear()
        result = values(run(on, x))
    (what, where), = accelerator.waits
    assert what == found and 'test_accelerator.py' in where
    assert not accelerator.refused
    if what != 'copy to device':
        torch.testing.assert_close(result, run(x.clone(), x))


def test_copies_that_the_host_does_not_wait_for():
    x = torch.arange(3.)
    with PretendedAccelerator() as accelerator:
        on = x.to(DEVICE, non_blocking=True)
        on.copy_(x + 1, non_blocking=True)
    assert values(on).tolist() == [1, 2, 3]
    assert [what for what, _ in accelerator.sent
            ] == ['copy to device', 'copy_ across']
    assert not accelerator.waits and not accelerator.refused


def test_mixed_devices_are_refused():
    x = torch.rand(3)
    boxes = torch.rand(4, 4)
    with PretendedAccelerator() as accelerator:
        x.to(DEVICE) + x
        boxes.to(DEVICE).numpy()
        nms(boxes.to(DEVICE), boxes[:, 0], 0.5)
    assert [what for what, _ in accelerator.refused][:3] == [
        'add of two devices', 'numpy', 'mmcv nms of two devices'
    ]


def test_operators_without_code_for_cpus():
    points = torch.rand(1, 8, 3)

    def sample(points, temp, idx, b, n, m):
        idx.copy_(torch.arange(m))

    with PretendedAccelerator() as bare, pytest.raises(RuntimeError):
        furthest_point_sample(points.to(DEVICE), 4)
    with PretendedAccelerator(
            dict(furthest_point_sampling_forward=sample)) as accelerator:
        found = furthest_point_sample(points.to(DEVICE), 4)
    assert isinstance(found, DeviceTensor)
    assert values(found).tolist() == [[0, 1, 2, 3]]
    assert not accelerator.refused and not bare.refused
