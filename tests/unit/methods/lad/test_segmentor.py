import copy

import pytest
import torch
from mmengine.structures import PixelData
from torch import nn

from mmkd.core.network import build_network
from mmkd.errors import ConfigError, MismatchError
from mmkd.families import family_of
from mmkd.methods.lad.segmentor import widen_stem
from mmkd.testing import segmentation_batch, segmentor

OPTIONS = dict(type='mmkd.LabelAssistedSegmentor')


def network(**kwargs):
    torch.manual_seed(0)
    cfg = segmentor(4, auxiliary=True)
    cfg['model'].update(OPTIONS, **kwargs)
    return build_network(cfg, 'the teacher')


@pytest.fixture(scope='module')
def teacher():
    return network()


def prepared(teacher, training=True):
    return teacher.data_preprocessor(segmentation_batch(), training)


def test_losses_of_two_copies(teacher):
    model = copy.deepcopy(teacher).train()
    losses = model(**prepared(model), mode='loss')
    assert {key
            for key in losses if 'loss' in key} == {
                'loss_consistency', *(f'path_{i}.{head}.loss_ce'
                                      for i in range(2)
                                      for head in ('decode', 'aux'))
            }
    assert losses['path_0.decode.loss_ce'] != losses['path_1.decode.loss_ce']
    assert losses['loss_consistency'] > 0
    # Statistics of the batches of both.
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert norm.num_batches_tracked == 2
    losses['loss_consistency'].backward()
    stem = model.backbone.conv1.weight
    assert stem.shape[1] == 4 and all(stem.grad[:, i].any() for i in range(4))


def test_ignored_pixels_only():
    cfg = segmentor(4)
    cfg['model'].update(OPTIONS)
    cfg['model']['decode_head']['loss_decode'] = dict(
        type='CrossEntropyLoss', avg_non_ignore=True)
    model = build_network(cfg, 'the teacher')
    batch = prepared(model)
    for sample in batch['data_samples']:
        sample.gt_sem_seg.data.fill_(255)
    losses = model(**batch, mode='loss')
    assert losses['path_0.decode.loss_ce'] == 0
    assert losses['loss_consistency'].isfinite()


def test_fixed_code_as_a_teacher(teacher):
    model = copy.deepcopy(teacher).eval()
    batch = prepared(model)
    seen = []
    model.backbone.register_forward_pre_hook(
        lambda _, args: seen.append(args[0]))
    for _ in range(2):
        model(**batch, mode='tensor')
    assert seen[0][:, :3].equal(batch['inputs'])
    # The noise of the pixels alone differs.
    assert 0 < (seen[0] - seen[1])[:, 3].abs().max() < 0.4
    model.code = 'random'
    for _ in range(2):
        model(**batch, mode='tensor')
    assert (seen[2] - seen[3])[:, 3].abs().max() > 0.4


def test_prediction_resizes_the_labels(teacher):
    model = copy.deepcopy(teacher).eval()
    batch = prepared(model, False)
    images = torch.stack(batch['inputs']) if isinstance(
        batch['inputs'], list) else batch['inputs']
    samples = batch['data_samples']
    for sample in samples:
        labels = sample.gt_sem_seg.data
        sample.gt_sem_seg = PixelData(
            data=labels.repeat_interleave(2, 1).repeat_interleave(2, 2))
        sample.set_metainfo(dict(ori_shape=(64, 128)))
        own = model._label_map(sample, (32, 64))
        assert own.equal(labels[0])
        padded = model._label_map(sample, (40, 64))
        assert padded[:32].equal(own) and (padded[32:] == 255).all()
    found = model.predict(images, samples)
    assert found[0].pred_sem_seg.data.shape == (1, 64, 128)


@pytest.mark.parametrize('mode', ['tensor', 'predict'])
def test_without_labels(teacher, mode):
    with pytest.raises(MismatchError, match='the batch has none'):
        teacher(torch.zeros(1, 3, 32, 64), None, mode=mode)


def test_weights_for_images_load():
    model, plain = network(), build_network(
        segmentor(4, auxiliary=True), 'plain')
    own = model.backbone.conv1.weight[:, 3].clone()
    model.load_state_dict(plain.state_dict())
    for key, value in plain.state_dict().items():
        loaded = model.state_dict()[key]
        assert (loaded[:, :3] if key == 'backbone.conv1.weight' else
                loaded).equal(value), key
    assert model.backbone.conv1.weight[:, 3].equal(own)
    # Its own weights load too.
    again = network()
    again.load_state_dict(model.state_dict())
    assert again.backbone.conv1.weight.equal(model.backbone.conv1.weight)


def test_initial_weights_of_the_channel():
    model = network(stem_std=0.5)
    model.init_weights()
    weight = model.backbone.conv1.weight
    assert weight[:, 3].std().item() == pytest.approx(0.5, rel=0.2)
    assert weight[:, :3].std() < 0.4


def test_a_channel_of_zeros_changes_nothing():
    """So that the released student of four channels is the plain one."""
    conv = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1, bias=False))
    wide = copy.deepcopy(conv)
    assert widen_stem(wide) == '0'
    wide.load_state_dict(conv.state_dict())
    image = torch.randn(1, 3, 8, 8)
    out = wide(torch.cat([image, torch.zeros(1, 1, 8, 8)], 1))
    torch.testing.assert_close(out, conv(image))
    out.sum().backward()
    assert not wide[0].weight.grad[:, 3].any()


def test_no_stem():
    for network in (nn.Linear(2,
                              2), nn.Sequential(nn.Conv2d(4, 4, 1, groups=2))):
        with pytest.raises(ConfigError, match='does not begin with'):
            widen_stem(network)


def test_it_is_a_segmentor_of_mmseg(teacher):
    batch = family_of(teacher).example_batch(teacher, (32, 64))
    assert batch['inputs'].shape == (1, 3, 32, 64)
    assert teacher(**batch, mode='tensor').shape[1] == 19
