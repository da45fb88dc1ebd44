import pytest
import torch

from mmkd.ops.generation import GenerationBlock, random_cells, random_channels


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


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_share_of_dropped_cells(dtype):
    feat = torch.zeros(2, 3, 200, 250, dtype=dtype)
    for ratio in (0.45, 0.65, 0.75):
        kept = random_cells(feat, ratio)
        assert kept.shape == (2, 1, 200, 250) and kept.dtype == dtype
        assert set(kept.unique().tolist()) == {0, 1}
        sigma = (ratio * (1 - ratio) / kept.numel())**0.5
        dropped = (kept == 0).float().mean().item()
        assert abs(dropped - ratio) < 3 * sigma


def test_draws():
    feat = torch.zeros(2, 3, 8, 8)
    torch.manual_seed(1)
    first, second = random_cells(feat, 0.5), random_cells(feat, 0.5)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    torch.manual_seed(1)
    assert torch.equal(random_cells(feat, 0.5), first)
    # The released code drops where the same draw is above 1 - ratio.
    torch.manual_seed(1)
    draw = torch.rand(2, 1, 8, 8)
    assert torch.equal(first == 0, draw > 0.5)


def test_channels():
    feat = torch.zeros(2, 300, 3, 4)
    torch.manual_seed(1)
    kept = random_channels(feat, 0.15)
    assert kept.shape == (2, 300, 1, 1)
    assert not torch.equal(kept[0], kept[1])
    torch.manual_seed(1)
    draw = torch.rand(2, 300, 1, 1)
    assert torch.equal(kept == 0, draw > 1 - 0.15)


def test_all_or_nothing():
    feat = torch.zeros(2, 3, 64, 64)
    assert random_cells(feat, 0).all()
    assert not random_cells(feat, 1).any()
    assert not random_channels(feat, 1).any()
    for ratio in (-0.1, 1.1):
        with pytest.raises(ValueError, match='mask_ratio'):
            random_cells(feat, ratio)
