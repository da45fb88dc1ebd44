import pytest
import torch
from torch import nn

from mmkd.core.batch import StepBatch
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.af_dcd.distiller import AfDCD, EnhancedBlock, hole


def made(shapes=((2, 4, 8, 8), (2, 8, 8, 8)), **options):
    torch.manual_seed(0)
    distiller = AfDCD(**{**dict(num_groups=2), **options})
    distiller.setup(*(dict(stages=[TapSpec('x', shape)]) for shape in shapes))
    return distiller


def run(distiller, channels=8):
    torch.manual_seed(1)
    feat_s = torch.randn(2, 4, 8, 8, requires_grad=True)
    feat_t = torch.randn(2, channels, 8, 8)
    return distiller(
        dict(stages=[feat_s]), dict(stages=[feat_t]), StepBatch()), feat_s


def test_defaults_are_published():
    distiller = AfDCD()
    assert distiller.peak_weights() == dict(feature=2e-6, contrast=5e-3)
    assert (distiller.num_groups, distiller.pool, distiller.patch,
            distiller.tau) == (16, 4, 4, 0.07)
    assert (distiller.mask, distiller.mask_ratio) == ('random', 0.75)


@pytest.mark.parametrize('options', [
    {},
    dict(generator='enhanced'),
    dict(mask='hole'),
    dict(pool=1),
])
def test_gradients(options):
    distiller = made(**options)
    terms, feat_s = run(distiller)
    assert all(value > 0 for value in terms.values())
    sum(terms.values()).backward()
    assert feat_s.grad.any()
    assert all(p.grad.any() for p in distiller.parameters())


def test_initialisation():
    """As PyTorch initialises convolutions, also where the runner does."""
    distiller = made(((2, 4, 8, 8), (2, 256, 8, 8)))
    before = {k: v.clone() for k, v in distiller.state_dict().items()}
    distiller.init_weights()
    assert all(v.equal(before[k]) for k, v in distiller.state_dict().items())
    assert distiller.connector.conv.weight.abs().max() <= 4**-.5


def test_equal_channels_need_no_connector():
    distiller = made(((2, 4, 8, 8), (2, 4, 8, 8)))
    assert isinstance(distiller.connector, nn.Identity)
    assert run(distiller, 4)[0]['feature'] > 0


def test_hole():
    cells = hole(torch.zeros(1, 2, 7, 6))[0, 0]
    assert cells.sum() == 42 - 4 and not cells[2:4, 2:4].any()


def test_enhanced_block():
    block = EnhancedBlock(2)
    feat = torch.randn(1, 2, 3, 3)
    first = block.blocks[0](feat).relu()
    second = block.blocks[1](first).relu()
    torch.testing.assert_close(
        block(feat), (block.outputs[0](first) + block.outputs[1](second)) / 2)


@pytest.mark.parametrize('options, message', [
    (dict(num_groups=3), 'do not make 3 groups'),
    (dict(num_groups=1), 'no other group'),
    (dict(pool=0), 'pool is a positive integer'),
    (dict(mask_ratio=1.2), 'a share'),
    (dict(mask='holes'), 'mask is one of random, hole'),
    (dict(shapes=((2, 4, 8, 8), (2, 8, 4, 4))), 'resize=True'),
])
def test_wrong_options(options, message):
    with pytest.raises(ConfigError, match=message):
        made(**options)
