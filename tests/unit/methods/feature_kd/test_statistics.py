import torch

from mmkd.methods.feature_kd.statistics import ChannelStatistics


def test_batches_add_up_to_one():
    torch.manual_seed(0)
    feats = torch.randn(6, 3, 4, 5) * torch.tensor([1., 5, .1]).view(
        1, 3, 1, 1) + torch.tensor([100., 0, -3]).view(1, 3, 1, 1)
    statistics = ChannelStatistics(3)
    assert torch.equal(statistics.standardise(feats), feats)
    for part in feats.split([1, 3, 2]):
        statistics.add(part)
    found = statistics.standardise(feats)
    assert found.mean((0, 2, 3)).abs().max() < 1e-4
    assert torch.allclose(
        found.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-4)
    statistics.whole = True
    whole = statistics.standardise(feats)
    assert torch.allclose(
        whole.var((0, 2, 3), correction=0).mean(), torch.ones(()), atol=1e-4)
    # One factor for all keeps the ratios of the channels.
    ratio = whole.std((0, 2, 3)) / feats.std((0, 2, 3))
    assert torch.allclose(ratio, ratio[:1].expand(3), rtol=1e-4)


def test_processes_add_up(monkeypatch):
    """Two of them give what one gives for all images."""
    torch.manual_seed(0)
    feats = (torch.randn(6, 3, 4, 5) + 100).split(3)
    whole, own, other = (ChannelStatistics(3) for _ in range(3))
    whole.add(torch.cat(feats))
    other.add(feats[1])
    monkeypatch.setattr('mmkd.methods.feature_kd.statistics.all_reduce',
                        lambda sums: sums.add_(other.sums))
    own.add(feats[0])
    assert torch.allclose(own.sums, whole.sums, rtol=1e-6)
    assert own.cells == whole.cells == 120
