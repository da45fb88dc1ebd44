import pytest
import torch
from mmengine.model import BaseModel
from torch import nn

from mmkd.core.network import build_network, network_config
from mmkd.core.taps.dry_run import (_image_channels, dry_run, example_batch,
                                    trace, untouched)
from mmkd.core.taps.tap import Tap
from mmkd.errors import ConfigError, TapError
from mmkd.testing import detector, segmentation_batch, segmentor


def run(network, *taps, modes=('loss', 'tensor'), **kwargs):
    taps = [Tap.parse(tap) for tap in taps]
    return dry_run(network, taps, 'the student', modes, (64, 96),
                   **kwargs), taps


@pytest.mark.parametrize('cfg', [segmentor(), detector()])
def test_shapes(cfg):
    network = build_network(cfg, 'x')
    found, (stages, one) = run(network, 'backbone', 'backbone[1]')
    assert [spec.shape for spec in found.specs[stages]] == [(1, 4, 16, 24),
                                                            (1, 8, 8, 12),
                                                            (1, 16, 4, 6),
                                                            (1, 32, 2, 3)]
    assert [spec.stride for spec in found.specs[stages]] == [4, 8, 16, 32]
    assert found.specs[one][0].path == 'backbone[1]'
    assert found.specs[stages][1].path == 'backbone[1]'
    assert found.counts == {stages: 1, one: 1}
    assert not found.overwritten and not found.writes_input


def test_attributes_of_the_tapped_module():
    network = build_network(segmentor(), 'x')
    found, (backbone, conv) = run(network, 'backbone', 'backbone.conv1@input')
    attributes = found.specs[backbone][0].attributes
    assert attributes['depth'] == 18 and attributes['strides'] == (1, 2, 2, 2)
    assert 'conv_cfg' not in attributes  # None and dicts are left out
    attributes = found.specs[conv][0].attributes
    assert attributes['kernel_size'] == (7, 7)
    assert attributes['padding'] == (3, 3)
    assert not any(name.startswith('_') for name in attributes)


def test_a_real_batch():
    network = build_network(segmentor(), 'x')
    batch = network.data_preprocessor(segmentation_batch(3), True)
    found, (tap, ) = run(network, 'decode_head.conv_seg', batch=batch)
    assert found.specs[tap][0].shape == (3, 19, 1, 2)


def test_training_branches():

    class Head(nn.Module):

        def __init__(self):
            super().__init__()
            self.main = nn.BatchNorm2d(3)
            self.extra = nn.Dropout(0.5, inplace=True)

        def forward(self, x):
            x = self.main(x)
            return self.extra(x) if self.training else x

    class Model(BaseModel):

        def __init__(self):
            super().__init__()
            self.head = Head()

        def forward(self, inputs, data_samples=None, mode='tensor'):
            x = self.head(inputs)
            return dict(loss=x.mean()) if mode == 'loss' else x

    network = Model()
    found, taps = run(network, 'head.main', 'head.extra', training=True)
    assert found.overwritten == [taps[0]]
    assert network.head.main.running_mean.eq(0).all()
    with pytest.raises(TapError, match="'head.extra' .* never fired"):
        run(network, 'head.extra')
    kinds = [row[1] for row in trace(network, 'x', (8, 8))]
    assert kinds == ['BatchNorm2d', 'Dropout', 'Head']
    assert len(trace(network, 'x', (8, 8), ('tensor', ), False)) == 2


def test_untouched():
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout())
    network[1].eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with untouched(network, training=True):
        assert network[1].training and not network[0].training
        network[0].train()
        network(torch.rand(2, 3, 4, 4))
    assert network[0].training and not network[1].training
    assert all(v.equal(before[k]) for k, v in network.state_dict().items())


def test_loss_that_fails_is_no_obstacle():
    network = build_network(segmentor(), 'x')

    def fail(*args, **kwargs):
        raise ValueError('no loss today')

    network.loss = fail
    found, (tap, ) = run(network, 'backbone[3]')
    assert found.specs[tap][0].channels == 32
    # Nor is a head that fails behind the last tap.
    network.decode_head.forward = fail
    found, (tap, ) = run(network, 'backbone[3]')
    assert found.specs[tap][0].channels == 32
    network._forward = fail
    with pytest.raises(
            ConfigError, match='does not run on a 64x96.*no loss today'):
        run(network, 'backbone[3]')
    with pytest.raises(ConfigError, match='does not run on a 64x96'):
        trace(network, 'x', (64, 96))


@pytest.mark.parametrize('first, channels', [(3, 3), (12, 3), (48, 3), (1, 1),
                                             (4, 4)])
def test_image_channels(first, channels):
    assert _image_channels(nn.Conv2d(first, 2, 1)) == channels


def test_image_channels_of_the_preprocessor():
    network = build_network(segmentor(), 'x')
    network.data_preprocessor.mean = torch.zeros(6, 1, 1)
    assert example_batch(network, (8, 8))['inputs'].shape == (1, 6, 8, 8)


def test_network_config():
    model, scope = network_config(segmentor(), 'x')
    assert scope == 'mmseg' and model.test_cfg.mode == 'whole'
    inner = dict(
        default_scope='mmdet',
        model=dict(type='mmkd.DistillationModel', student=segmentor()))
    assert network_config(inner, 'x') == (model, scope)
    with pytest.raises(ConfigError, match='x: there is no `model`'):
        network_config(dict(model=dict(backbone=1)), 'x')
    wrong = segmentor()
    wrong['model']['decode_head']['type'] = 'NoHead'
    with pytest.raises(ConfigError, match='cannot build EncoderDecoder.*NoHe'):
        build_network(wrong, 'the student')
