"""Standard places of networks."""
import pytest
import torch
from torch import nn

from mmkd.core.network import build_network
from mmkd.core.taps.catcher import TapCatcher
from mmkd.core.taps.tap import Tap
from mmkd.errors import ConfigError
from mmkd.families.places import standard_taps
from mmkd.testing import detector, segmentor, transformer_segmentor


def test_standard_places():
    student = build_network(segmentor(), 'the student')
    assert standard_taps(student, 'logits', 's') == ['decode_head.conv_seg']
    assert standard_taps(student, 'stages', 's') == ['backbone']
    with pytest.raises(ConfigError, match="no standard place for 'neck'"):
        standard_taps(student, 'neck', 'the student')
    network = build_network(detector(), 'd')
    assert standard_taps(network, 'neck', 'd') == ['neck']
    for place in ('embeddings', 'patches'):
        with pytest.raises(
                ConfigError,
                match='of a transformer pyramid|'
                'patch convolutions'):
            standard_taps(network, place, 'd')


def test_standard_place_of_a_cascade():
    network = nn.Module()
    heads = [nn.Module(), nn.Module()]
    for head in heads:
        head.conv_seg = nn.Conv2d(1, 1, 1)
    network.decode_head = nn.ModuleList(heads)
    assert standard_taps(network, 'logits', 's') == ['decode_head.1.conv_seg']


@pytest.mark.parametrize('kind', ['mit', 'pvt'])
def test_standard_places_of_a_transformer_pyramid(kind):
    network = build_network(transformer_segmentor(kind=kind), 's').eval()
    taps = {
        place: [Tap.parse(tap) for tap in standard_taps(network, place, 's')]
        for place in ('embeddings', 'patches', 'stages')
    }
    everything = [tap for found in taps.values() for tap in found]
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad(), TapCatcher(network, everything, 's') as caught:
        network(image)
    tensors = caught.take()
    tokens, patches, (stages, ) = ([tensors[tap] for tap in found]
                                   for found in taps.values())
    sizes = [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert [t.shape for t, in tokens
            ] == [(1, h * w, c) for (h, w), c in zip(sizes, (4, 8, 20, 32))]
    assert patches[0][0] is image
    assert all(patch is stage for (patch, ), stage in zip(patches[1:], stages))
