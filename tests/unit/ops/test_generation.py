import torch

from mmkd.methods.mgd.generation import GenerationBlock


def test_widths():
    first, _, second = GenerationBlock(4).layers
    assert first.weight.shape == second.weight.shape == (4, 4, 3, 3)
    first, _, second = GenerationBlock(4, mid_channels=2).layers
    assert first.weight.shape == (2, 4, 3, 3)
    assert second.weight.shape == (4, 2, 3, 3)


def test_a_cell_is_made_of_its_surroundings():
    torch.manual_seed(0)
    block = GenerationBlock(3)
    feat = torch.randn(1, 3, 9, 9, requires_grad=True)
    block(feat)[..., 4, 4].sum().backward()
    reached = feat.grad[0].abs().sum(0) > 0
    assert reached[2:7, 2:7].any() and not reached[:2].any()
    assert not reached[:, 7:].any()
