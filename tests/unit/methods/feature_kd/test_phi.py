import pytest
import torch

from mmkd.errors import ConfigError
from mmkd.methods.feature_kd.phi import PhiStatistics, hadamard, phi_matrix


@pytest.mark.parametrize(
    'order', [1, 2, 12, 24, 28, 36, 40, 96, 112, 176, 320, 384, 768])
def test_hadamard(order):
    found = hadamard(order)
    assert (found.abs() == 1).all()
    assert torch.equal(found @ found.T,
                       order * torch.eye(order, dtype=torch.float64))


def test_all_channels_get_variance_1_and_ratios_of_distances_stay():
    torch.manual_seed(0)
    cells = torch.randn(500, 24, dtype=torch.float64)
    cells = cells @ torch.randn(24, 24, dtype=torch.float64) + 3
    matrix = phi_matrix(torch.cov(cells.T, correction=0))
    found = (cells - cells.mean(0)) @ matrix.T
    assert (found.std(0, correction=0) - 1).abs().max() < 1e-10
    ratio = torch.pdist(found) / torch.pdist(cells)
    assert (ratio / ratio[0] - 1).abs().max() < 1e-10


def test_statistics(monkeypatch):
    torch.manual_seed(0)
    feats = torch.randn(4, 12, 5, 6) * torch.linspace(.1, 9, 12).view(
        1, 12, 1, 1) + 50
    whole = PhiStatistics(12)
    assert torch.equal(whole.standardise(feats), feats)
    whole.add(feats)
    mean_square = whole.standardise(feats).square().mean()
    assert mean_square.item() == pytest.approx(1, rel=1e-4)
    whole.settle()
    found = whole.standardise(feats)
    assert found.mean((0, 2, 3)).abs().max() < 1e-4
    assert torch.allclose(
        found.std((0, 2, 3), correction=0), torch.ones(12), atol=1e-4)

    # Two processes that see half of the images each.
    other = PhiStatistics(12)
    other.add(feats[:1])
    monkeypatch.setattr('mmkd.methods.feature_kd.phi.all_reduce',
                        lambda sums: sums.add_(other.sums))
    half = PhiStatistics(12)
    half.add(feats[1:])
    assert torch.allclose(half.sums, whole.sums, rtol=1e-10, atol=0)


def test_no_matrix():
    with pytest.raises(ConfigError, match="6 channels; take .*'global'"):
        PhiStatistics(6)
