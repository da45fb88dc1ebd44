import pytest
import torch
from torch import nn

from mmkd.core.fold import Folding, foldable_pairs
from mmkd.core.taps.tap import Tap


class Network(nn.Module):
    """Convolutions with normalisation, which may and may not be folded."""

    def __init__(self):
        super().__init__()
        self.plain = nn.Conv2d(3, 4, 3, bias=False)
        self.plain_bn = nn.BatchNorm2d(4)
        self.bias = nn.Conv2d(4, 4, 3)
        self.bias_bn = nn.BatchNorm2d(4, affine=False)
        # One convolution for two levels, as in RTMDet's head.
        self.shared = nn.Conv2d(4, 4, 1)
        self.level_bns = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(2))
        # One convolution and one normalisation for two levels, as in YOLOX.
        self.both = nn.Conv2d(4, 4, 1)
        self.both_bn = nn.BatchNorm2d(4)
        self.read_twice = nn.Conv2d(4, 4, 1)
        self.read_twice_bn = nn.BatchNorm2d(4)
        self.tied = nn.Conv2d(4, 4, 1)
        self.tied_bn = nn.BatchNorm2d(4)
        self.other = nn.Conv2d(4, 4, 1)
        self.other.weight = self.tied.weight
        self.two_places = nn.ModuleList([nn.BatchNorm2d(4)] * 2)
        self.before = nn.Conv2d(4, 4, 1)
        self.statistics = nn.Conv2d(4, 4, 1)
        self.statistics_bn = nn.BatchNorm2d(4, track_running_stats=False)
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        x = self.bias_bn(self.bias(self.plain_bn(self.plain(x)).relu_()))
        levels = [bn(self.shared(x)) for bn in self.level_bns]
        levels = [self.both_bn(self.both(level)) for level in levels]
        x = self.read_twice(sum(levels))
        x = self.read_twice_bn(x) + x.flatten(1).mean()
        x = self.other(self.tied_bn(self.tied(x)))
        x = self.two_places[1](self.before(x))
        return self.last(self.statistics_bn(self.statistics(x)))


@pytest.fixture
def network():
    torch.manual_seed(0)
    found = Network().eval().requires_grad_(False)
    for module in found.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine:
            module.weight.uniform_(0.5, 2)
            module.bias.normal_()
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return found


IMAGE = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def folded(network, taps=()):
    """Names of the convolutions into which something can be folded."""
    with torch.no_grad():
        pairs = foldable_pairs(network, [Tap.parse(tap) for tap in taps],
                               lambda: network(IMAGE))
    names = {module: name for name, module in network.named_modules()}
    return {names[pair.conv]: pair for pair in pairs}


def test_what_can_be_folded(network):
    assert set(folded(network)) == {'plain', 'bias', 'both'}
    assert not any(module._forward_hooks or module._forward_pre_hooks
                   for module in network.modules())


@pytest.mark.parametrize('tap', ['plain', 'plain_bn', 'plain_bn@input'])
def test_what_is_tapped_stays(network, tap):
    assert set(folded(network, [tap])) == {'bias', 'both'}


def test_a_class_with_another_forward_pass_stays(network):

    class Standardised(nn.Conv2d):

        def forward(self, x):
            return super().forward(x) * 2

    network.bias = Standardised(4, 4, 3)
    assert set(folded(network)) == {'plain', 'both'}


def test_values_and_undo(network):
    state = {key: x.clone() for key, x in network.state_dict().items()}
    before = network(IMAGE)
    folding = Folding(list(folded(network).values()))
    folding.apply()
    after = network(IMAGE)
    assert not torch.equal(after, before)  # in the last bits
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-4)
    assert isinstance(network.plain_bn, nn.Identity)
    assert not any(p.requires_grad for p in network.parameters())
    assert not any(module.training for module in network.modules())
    folding.undo()
    assert torch.equal(network(IMAGE), before)
    assert all(
        torch.equal(x, state[key]) for key, x in network.state_dict().items())
