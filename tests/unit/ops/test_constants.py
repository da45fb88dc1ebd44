import torch

from mmkd.ops.constants import constant
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator


def test_type_and_values():
    like = torch.zeros(3, dtype=torch.float64)
    found = constant([1, 2.5], like)
    assert found.dtype == torch.float64 and found.tolist() == [1, 2.5]
    assert constant(2., like).shape == ()
    assert constant((1., 2.5), torch.zeros(1)).dtype == torch.float32


def test_it_is_copied_to_a_device_once():
    with PretendedAccelerator() as accelerator:
        like = torch.zeros(1, device=DEVICE)
        constant([3., 1., 4.], like)
        assert sum(accelerator.waits.values()) == 1
        accelerator.waits.clear()
        assert (constant([3., 1., 4.], like) * like).device == DEVICE
        assert not accelerator.waits


def test_a_backward_pass_may_follow_inference():
    with torch.inference_mode():
        constant([5., 6.], torch.zeros(1))
    x = torch.ones(2, requires_grad=True)
    (x * constant([5., 6.], x)).sum().backward()
    assert x.grad.tolist() == [5., 6.]
