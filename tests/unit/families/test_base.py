"""The list of families, and what all of them share."""
import pytest
import torch
from torch import nn

from mmkd.core.network import build_network
from mmkd.errors import ConfigError
from mmkd.families import FAMILIES, Family, Place, family_of, register_family
from mmkd.families.base import image_channels
from mmkd.families.places import PLACES, standard_taps
from mmkd.testing import segmentor


@pytest.fixture
def families():
    before = list(FAMILIES)
    yield FAMILIES
    FAMILIES[:] = before


class Net(nn.Module):

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(4, 2, 1)


def test_network_of_no_known_library():
    network = Net()
    family = family_of(network)
    assert family not in FAMILIES
    assert family.predict_image(network, {}, (8, 16)) is None
    with pytest.raises(ConfigError, match='has no head that this method'):
        family.detection_head(network)
    assert list(family.places) == list(PLACES)
    assert standard_taps(network, 'stages', 'x') == ['backbone']
    network.pts_backbone = network.backbone
    del network.backbone
    assert standard_taps(network, 'stages', 'x') == ['pts_backbone']
    batch = family.example_batch(network, (8, 16))
    assert batch['inputs'].shape == (1, 4, 8, 16)
    assert batch['data_samples'] is None


def test_a_family_of_ones_own(families):
    own = len(families)

    @register_family
    class Mine(Family):
        name = __name__.split('.')[0]

        def __init__(self):
            super().__init__()
            self.places['stem'] = Place('the first one', lambda x: ['stem'])

    network = Net()
    assert isinstance(family_of(network), Mine)
    assert standard_taps(network, 'stem', 'x') == ['stem']
    assert 'stem' not in PLACES
    with pytest.raises(ConfigError, match=r"for 'nodes' \(learned features"):
        standard_taps(network, 'nodes', 'x')
    register_family(Mine)  # once more, as a module that is reloaded does
    assert len(families) == own + 1
    segmenting = build_network(segmentor(), 'x')
    assert family_of(segmenting).name == 'mmseg'


def test_a_family_is_asked_before_older_ones(families):

    @register_family
    class Cascades(Family):
        name = 'cascades'

        def matches(self, network):
            return hasattr(network, 'decode_head')

    assert isinstance(family_of(build_network(segmentor(), 'x')), Cascades)


def test_a_family_has_a_name(families):
    with pytest.raises(ConfigError, match='Nameless needs a `name`'):
        register_family(type('Nameless', (Family, ), {}))


def test_modes():
    family = Family()

    class Whole(nn.Module):

        def _forward(self):
            pass

    assert family.frozen_mode(Net()) == 'tensor'
    assert family.trial_modes(Net()) == ('tensor', )
    assert family.frozen_mode(Whole()) == 'predict'
    assert family.trial_modes(Whole()) == ('loss', 'predict')
    assert family.trial_modes(Whole(), 'loss') == ('loss', )


@pytest.mark.parametrize('first, channels', [(3, 3), (12, 3), (48, 3), (1, 1),
                                             (4, 4)])
def test_image_channels(first, channels):
    assert image_channels(nn.Conv2d(first, 2, 1)) == channels


def test_image_channels_of_the_preprocessor():
    network = build_network(segmentor(), 'x')
    network.data_preprocessor.mean = torch.zeros(6, 1, 1)
    assert family_of(network).example_batch(network,
                                            (8, 8))['inputs'].shape == (1, 6,
                                                                        8, 8)
