import torch

from mmkd.bev.fuser import ConvFuser


def test_gate_multiplies_channels():
    fuser = ConvFuser([2, 1], 4, gate=True).eval()
    maps = [torch.randn(2, 2, 3, 5), torch.randn(2, 1, 3, 5)]
    stacked = torch.cat(maps, 1)
    with torch.no_grad():
        assert fuser(maps).shape == (2, 4, 3, 5)
        # A gate of weights 0 is the sigmoid of its bias, everywhere.
        fuser.gate.weight.zero_()
        fuser.gate.bias.copy_(torch.tensor([0., 100., -100.]))
        expected = stacked * torch.tensor([.5, 1., 0.]).view(1, 3, 1, 1)
        torch.testing.assert_close(fuser(maps), fuser.conv(expected))


def test_without_gate():
    fuser = ConvFuser([2, 1], 4).eval()
    maps = [torch.randn(1, 2, 3, 5), torch.randn(1, 1, 3, 5)]
    assert fuser(maps).equal(fuser.conv(torch.cat(maps, 1)))
