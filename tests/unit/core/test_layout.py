import torch
from torch import nn

from mmkd.core.layout import in_layout, set_layout


def test_weights_of_2d_convolutions_alone():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Conv3d(4, 4, 3), nn.Linear(4, 4))
    state = {key: x.clone() for key, x in network.state_dict().items()}
    set_layout(network, torch.channels_last)
    assert network[0].weight.stride()[1] == 1
    assert network[1].weight.is_contiguous()
    assert all(
        torch.equal(x, state[key]) for key, x in network.state_dict().items())
    set_layout(network, torch.contiguous_format)
    assert network[0].weight.is_contiguous()


def test_inputs():
    image = torch.rand(2, 3, 4, 5)
    assert in_layout(image, torch.channels_last).stride()[1] == 1
    assert torch.equal(in_layout(image, torch.channels_last), image)
    points = dict(points=[torch.rand(4, 3)])
    assert in_layout(points, torch.channels_last) is points
