import pytest
import torch
from torch import nn

from mmkd.core.network import build_network
from mmkd.core.taps.dry_run import dry_run
from mmkd.core.taps.tap import Tap
from mmkd.core.teacher import Teacher
from mmkd.errors import CheckpointError, ConfigError, TapError
from mmkd.testing import segmentation_batch, segmentor
from mmkd.utils.checkpoint import write_weights


def save(path, network, **meta):
    torch.save(dict(state_dict=network.state_dict(), meta=meta), path)
    return str(path)


def test_cfg_in_every_form(tmp_path):
    from mmengine.config import Config
    cfg = Config(segmentor())
    file = str(tmp_path / 'teacher.py')
    cfg.dump(file)
    kinds = [file, segmentor(), cfg, dict(cfg.model, _scope_='mmseg')]
    kinds.append(build_network(segmentor(), 'x'))
    for kind in kinds:
        teacher = Teacher(kind, 'random')
        assert type(teacher.network).__name__ == 'EncoderDecoder'
        assert not teacher.network.training


def test_packaged_config():
    cfg = 'mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
    network = Teacher(cfg, 'random').network
    assert type(network.decode_head).__name__ == 'PSPHead'


@pytest.mark.parametrize('kind', ['pth', 'safetensors'])
def test_weights_and_classes(tmp_path, kind):
    network = build_network(segmentor(), 'x')
    file = str(tmp_path / f't.{kind}')
    write_weights(file, network.state_dict(),
                  dict(dataset_meta=dict(classes=('a', 'b'))))
    teacher = Teacher(segmentor(), file)
    mine = teacher.network.state_dict()
    assert all(v.equal(mine[k]) for k, v in network.state_dict().items())
    assert teacher.classes == ['a', 'b']


@pytest.mark.parametrize('kwargs, error, message', [
    (dict(), ConfigError, "'t' has no weights; give"),
    (dict(ckpt='official'), ConfigError, "needs a config of a library"),
    (dict(ckpt='random', precision='int8'), ConfigError, 'fp32, fp16, bf16'),
    (dict(ckpt='random', mode='train'), ConfigError, "'predict' or 'loss'"),
    (dict(ckpt='/nowhere/t.pth'), CheckpointError,
     'no checkpoint /nowhere/t.pth'),
])
def test_errors(kwargs, error, message):
    with pytest.raises(error, match=message):
        Teacher(segmentor(), name='t', **kwargs)


def test_weights_of_another_network(tmp_path):
    file = save(tmp_path / 'w.pth', build_network(segmentor(8), 'x'))
    with pytest.raises(
            CheckpointError,
            match=r'w.pth does not fit teacher .t.: .*in '
            r'the file and .* in the config'):
        Teacher(segmentor(), file, name='t')
    file = save(tmp_path / 'c.pth',
                build_network(segmentor(num_classes=5), 'x'))
    with pytest.raises(CheckpointError, match='trained on other classes'):
        Teacher(segmentor(), file)
    file = save(tmp_path / 'b.pth', build_network(segmentor(), 'x').backbone)
    with pytest.raises(CheckpointError, match='matches no weight'):
        Teacher(segmentor(), file)


def test_missing_weights(tmp_path):
    network = build_network(segmentor(), 'x')
    file = save(tmp_path / 'aux.pth', network)
    with pytest.raises(CheckpointError, match='lacks 7 of the.*auxiliary'):
        Teacher(segmentor(auxiliary=True), file)
    Teacher(segmentor(auxiliary=True), file, strict=False)
    full = build_network(segmentor(auxiliary=True), 'x')
    Teacher(segmentor(), save(tmp_path / 'full.pth', full))


@pytest.mark.parametrize('precision, dtype', [('bf16', torch.bfloat16),
                                              ('fp32', torch.float32),
                                              (None, torch.bfloat16)])
def test_precision(precision, dtype):
    teacher = Teacher(segmentor(), 'random', precision=precision)
    batch = teacher.preprocessor(segmentation_batch(), True)
    tap = Tap('decode_head.conv_seg')
    with torch.autocast('cpu', torch.bfloat16):
        logits = teacher.extract(batch['inputs'], None, [tap])[tap][0]
    assert logits.dtype == dtype and not logits.requires_grad


def test_loss_mode_reaches_auxiliary_heads():
    tap = Tap('auxiliary_head.conv_seg')
    teacher = Teacher(segmentor(auxiliary=True), 'random', mode='loss')
    teacher.counts = dry_run(teacher.network, [tap], 't', ('loss', ),
                             (32, 64)).counts
    batch = teacher.preprocessor(segmentation_batch(), True)
    found = teacher.extract(batch['inputs'], batch['data_samples'], [tap])
    assert found[tap][0].shape[:2] == (2, 19)


def test_own_data_leaves_the_batch_as_it_is():
    teacher = Teacher(
        segmentor(), 'random', input_map={'inputs.points': 'inputs.clean'})
    data = dict(inputs=dict(points=1, clean=2), data_samples=3)
    assert teacher.own_data(data) == dict(
        inputs=dict(points=2, clean=2), data_samples=3)
    assert data['inputs']['points'] == 1


def test_chunks_change_nothing():
    teacher = Teacher(segmentor(), ckpt='random')
    batch = teacher.preprocessor(segmentation_batch(3), True)
    tap = Tap.parse('backbone')
    whole = teacher.extract(batch['inputs'], batch['data_samples'], [tap])
    teacher.chunk = 2
    sizes = []
    teacher.network.backbone.register_forward_pre_hook(
        lambda module, args: sizes.append(len(args[0])))
    parts = teacher.extract(batch['inputs'], batch['data_samples'], [tap])
    assert sizes == [2, 1]
    for level, expected in zip(parts[tap], whole[tap]):
        torch.testing.assert_close(level, expected, rtol=1e-6, atol=1e-6)


def test_chunks_that_cannot_be():
    with pytest.raises(ConfigError, match='chunk is a number of images'):
        Teacher(segmentor(), ckpt='random', chunk=0)
    teacher = Teacher(segmentor(), ckpt='random', chunk=1)
    batch = teacher.preprocessor(segmentation_batch(2), True)
    with pytest.raises(ConfigError, match='gets points; remove'):
        teacher.extract(dict(points=[]), None, [Tap.parse('backbone')])
    network = teacher.network
    network.pooled = nn.Identity()
    network.backbone.register_forward_hook(
        lambda module, args, maps: (network.pooled(maps[0].mean(0)), None)[1])
    with pytest.raises(
            TapError, match='does not give an entry for each image'):
        teacher.extract(batch['inputs'], None, [Tap.parse('pooled')])


def test_a_missing_device():
    with pytest.raises(ConfigError, match="no device 'cuda:99'; torch finds"):
        Teacher(segmentor(), ckpt='random', device='cuda:99')
