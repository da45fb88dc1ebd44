import copy
import math

import pytest
import torch
from mmengine.optim import OptimWrapper

from mmkd.core import RewritingModel, TapSpec
from mmkd.errors import CheckpointError, ConfigError
from mmkd.methods.maskd.losses import token_masks
from mmkd.methods.maskd.tokens import ReceptiveTokens, TokenMasks, read_tokens
from mmkd.ops.masks import dice_similarity
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor)
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator


def build(cfg, size=(64, 64), **options):
    torch.manual_seed(0)
    return RewritingModel(
        dict(cfg=cfg, ckpt='random'), dict(type='ReceptiveTokens', **options),
        size).train()


def save(model, path):
    torch.save(dict(state_dict=model.state_dict()), path)
    return str(path)


def specs_of(*channels, weights_hash=None):
    return [
        TapSpec(
            f'neck[{i}]', (1, c, 4, 4),
            kind='neck',
            level=i,
            weights_hash=weights_hash) for i, c in enumerate(channels)
    ]


def test_initial_values():
    torch.manual_seed(0)
    tokens = TokenMasks(64, 6, True)
    assert tokens.tokens.std().item() == pytest.approx(.01, rel=.1)
    for conv, wanted in ((tokens.conv, 9 * 64), (tokens.classifier, 6)):
        assert conv.weight.std().item() == pytest.approx(
            math.sqrt(2 / wanted), rel=.1)
        assert conv.bias.eq(0).all()


def test_weights():
    tokens, feat = TokenMasks(3, 4, True), torch.randn(2, 3, 5, 6)
    weights = tokens.weights(feat)
    assert weights.shape == (2, 4)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    mean = tokens.conv(feat).mean((2, 3))
    wanted = (mean @ tokens.classifier.weight[:, :, 0, 0].T).softmax(1)
    torch.testing.assert_close(weights, wanted)
    assert TokenMasks(3, 4, False).weights(feat) is None


@pytest.mark.parametrize('weighted', [True, False])
def test_what_replaces_a_map(weighted):
    module = ReceptiveTokens(num_tokens=3, weighted=weighted)
    module.setup(specs_of(4))
    feat, level = torch.randn(2, 4, 3, 5), module.levels[0]
    torch.nn.init.normal_(level.tokens)
    new, terms = module.rewrite(0, feat)
    masks = token_masks(feat, level.tokens)
    weights = level.weights(feat) if weighted else torch.ones(2, 3)
    wanted = sum(feat * (masks[:, k] * weights[:, k, None, None])[:, None]
                 for k in range(3))
    torch.testing.assert_close(new, wanted)
    assert terms['dice'].equal(dice_similarity(masks))


def test_defaults_of_both_tasks():
    found = build(detector()).rewriter.levels
    assert len(found) == 5
    assert all(x.weighted and x.tokens.shape == (6, 8) for x in found)
    level, = build(segmentor(), (32, 64)).rewriter.levels
    assert not level.weighted and level.tokens.shape == (8, 19)


def test_training_lowers_the_overlap():
    model = build(segmentor(), (32, 64))
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), lr=.1))
    batch, found = segmentation_batch(), []
    for _ in range(8):
        log = model.train_step(copy.deepcopy(batch), wrapper)
        found.append(log['rewriter.loss_dice'].item())
    assert found[-1] < found[0] <= 1


def test_no_wait_for_the_device():
    model, batch = build(detector()), detection_batch()
    with PretendedAccelerator() as accelerator:
        model = model.to(DEVICE)
        for _ in range(2):
            accelerator.waits.clear()
            data = model.data_preprocessor(copy.deepcopy(batch), True)
            losses = model(**data, mode='loss')
            losses['rewriter.loss_dice'].backward()
        assert not accelerator.own(accelerator.waits)
    assert not accelerator.refused


def test_reading(tmp_path):
    model = build(detector())
    path = save(model, tmp_path / 'tokens.pth')
    given = bytes(model.teacher_hash.tolist()).hex()
    levels = read_tokens(path, specs_of(*[8] * 5, weights_hash=given))
    feat = torch.randn(1, 8, 4, 4)
    for level, own in zip(levels, model.rewriter.levels, strict=True):
        assert level.masks(feat).equal(own.masks(feat))
        assert level.weights(feat).equal(own.weights(feat))


def test_files_that_cannot_be_used(tmp_path):
    model = build(detector())
    path = save(model, tmp_path / 'tokens.pth')
    plain = save(model.teacher.network, tmp_path / 'plain.pth')
    cases = [(str(tmp_path / 'none.pth'), [8] * 5, 'there is no checkpoint'),
             (plain, [8] * 5, 'plain.pth has no receptive tokens'),
             (path, [8] * 4, r'\[8, 8, 8, 8, 8\] channels, but those of the'),
             (path, [8] * 5, 'learned on other weights than those of this t')]
    for name, channels, message in cases:
        with pytest.raises(CheckpointError, match=message):
            read_tokens(name, specs_of(*channels, weights_hash='ab' * 32))


def test_tokens_of_other_levels(tmp_path):
    model = build(detector(), taps=['neck[0:3]'])
    path = save(model, tmp_path / 'tokens.pth')
    given = bytes(model.teacher_hash.tolist()).hex()

    def read(first):
        return read_tokens(path, [
            TapSpec(
                'x', (1, 8, 4, 4), kind='neck', level=i, weights_hash=given)
            for i in range(first, first + 3)
        ])

    assert len(read(0)) == 3
    with pytest.raises(CheckpointError, match='other levels than neck 2'):
        read(2)


def test_options():
    with pytest.raises(ConfigError, match='num_tokens must be 2 or more'):
        ReceptiveTokens(num_tokens=1)
    with pytest.raises(ConfigError, match='reads maps .N, C, H, W., but'):
        ReceptiveTokens().setup([TapSpec('head', (2, 5))])
