"""Networks of other libraries as teachers, on tiny random models."""
import hashlib
import json
import shutil
import socket
import sys
from fnmatch import fnmatch

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmkd.cli import call
from mmkd.core import DistillationModel
from mmkd.core.cache.keys import weights_hash
from mmkd.core.taps.tap import Tap
from mmkd.core.teacher import Teacher
from mmkd.errors import CheckpointError, ConfigError, TapError
from mmkd.families import family_of
from mmkd.families.foundation import Card, FoundationNetwork
from mmkd.families.foundation.network import read_levels, to_map
from mmkd.testing import segmentation_batch, segmentor
from mmkd.utils.checkpoint import write_weights
from mmkd.utils.config import official_weights

GREY = dict(mean=[.5] * 3, std=[.5] * 3)
CARD = Card('test', (.5, .4, .3), (.2, .2, .1))


@pytest.fixture(autouse=True)
def no_network(monkeypatch):

    def refuse(*args, **kwargs):
        raise AssertionError('a connection was opened')

    monkeypatch.setattr(socket.socket, 'connect', refuse)


def taken(teacher, images, *taps):
    """Tensors of the taps of a teacher."""
    taps = [Tap.parse(tap) for tap in taps]
    found = teacher.extract(images, None, taps, dict.fromkeys(taps, 1))
    return [found[tap] for tap in taps]


class Shown(FoundationNetwork):
    """Its map is the image."""

    def features(self, images):
        return [images], None


class Cells(nn.Module):
    """The mean of each cell of 4x4 pixels, as a map or as tokens."""

    def __init__(self, prefix=None):
        super().__init__()
        self.prefix = prefix
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        x = self.weight * nn.functional.avg_pool2d(x, 4)
        if self.prefix is None:
            return x
        tokens = x.flatten(2).transpose(1, 2)
        extra = torch.full((len(x), self.prefix, 3), 99.)
        return torch.cat([extra, tokens], 1)

    def named(self, x):
        tokens = self(x)
        return dict(
            x_norm_patchtokens=tokens[:, self.prefix:],
            x_norm_clstoken=tokens[:, 0])


# The adapter.


@pytest.mark.parametrize('size, image, expected', [
    ('nearest', (640, 640), (644, 644)),
    ('nearest', (3, 20), (14, 14)),
    ('nearest', (21, 22), (28, 28)),
    ('pad', (15, 28), (28, 28)),
    (dict(stride=16), (640, 100), (560, 98)),
    ((224, 112), (640, 640), (224, 112)),
])
def test_size(size, image, expected):
    network = Shown(nn.Identity(), CARD, (14, 14), size)
    assert network.fitted(*image) == expected
    assert network.fit(torch.rand(1, 3, *image)).shape[2:] == expected


def test_the_whole_frame_is_kept():
    """Resizing shifts no content: the corners of a ramp stay."""
    ramp = torch.linspace(0, 1, 640).view(1, 1, 1, -1).expand(1, 3, 20, -1)
    network = Shown(nn.Identity(), CARD, (14, 14))
    found = network.fit(ramp)[0, 0, 0]
    assert found[0] < 2e-3 and found[-1] > .998
    padded = Shown(nn.Identity(), CARD, (14, 14), 'pad').fit(ramp)
    assert torch.equal(padded[..., :20, :640], ramp)
    assert not padded[..., 20:, :].any() and not padded[..., 640:].any()


@pytest.mark.parametrize('size', ['biggest', 0, (1, 2, 3), dict(stride=0)])
def test_wrong_size(size):
    with pytest.raises(ConfigError, match="test: size is 'nearest'"):
        Shown(nn.Identity(), CARD, size=size)


def test_the_log_names_where_a_teacher_comes_from(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr('mmkd.core.teacher.print_log',
                        lambda text, *_: said.append(text))
    network = Shown(
        nn.Conv2d(3, 3, 1), Card('dino', (.5, .4, .3), (.2, .2, .1), 'mit'))
    file = tmp_path / 'dino.pth'
    write_weights(str(file), network.model.state_dict(), {})
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    teacher = Teacher(network, str(file), name='t')
    assert teacher.origin == dict(
        network='dino', licence='mit', weights='dino.pth', sha256=digest)
    assert said == [
        f"teacher 't': weights of {file}, SHA-256 {digest}",
        "teacher 't': dino, mean (0.5, 0.4, 0.3), std (0.2, 0.2, 0.1) of RGB "
        'from 0 to 1, patch 1x1, size nearest, licence mit'
    ]
    network = Shown(nn.Identity(), Card(f'onnx::{file}', *[(.5, ) * 3] * 2))
    network.file = str(file)  # of one that comes with its weights
    assert network.origin() == dict(
        network='onnx::dino.pth', licence='not told', sha256=digest)
    assert f'dino.pth, SHA-256 {digest}, mean' in network.notes()


def test_levels():
    assert read_levels(-1, 6, 'x') == [5]
    assert read_levels([1, -2], 6, 'x') == [1, 4]
    for wrong in (6, -7, [], [2, 1], [1, 1]):
        with pytest.raises(ConfigError, match='from 0 to 5'):
            read_levels(wrong, 6, 'x')


def test_tokens():
    tokens = torch.arange(2. * 7 * 3).view(2, 7, 3)
    found = to_map(tokens, (2, 3), 1, 'x')
    assert torch.equal(found[1, :, 1, 2], tokens[1, 6])
    with pytest.raises(ConfigError, match='7 tokens.* 2 before .* 2x3'):
        to_map(tokens, (2, 3), 2, 'x')


def test_wrong_card():
    with pytest.raises(ConfigError, match='three numbers from 0 to 1'):
        Card('x', (123.7, 116.3, 103.5), (.2, .2, .2))


@pytest.mark.parametrize('own', [
    dict(mean=[100., 110., 120.], std=[50., 60., 70.], bgr_to_rgb=True),
    dict(mean=[0.] * 3, std=[255.] * 3),
])
def test_every_student_gives_the_same_picture(own):
    """However the student normalises, the teacher sees its own statistics."""
    student = segmentor(width=4)
    student['model']['data_preprocessor'].update(own)
    model = DistillationModel(
        student=student,
        teachers=dict(
            teacher=dict(
                cfg=dict(
                    type='mmkd.FactoryNetwork',
                    factory=f'{__name__}:Cells',
                    mean=[.5, .4, .3],
                    std=[.2, .2, .1]),
                ckpt='random',
                precision='fp32')),
        distillers=dict(
            mgd=dict(type='MGD', student='backbone[0]', teacher='maps[0]')),
        dry_run_size=(32, 32)).train()
    data = segmentation_batch()
    raw = torch.stack([x.float() for x in data['inputs']])
    batch = model.data_preprocessor(data, True)
    assert model.data_preprocessor.how('teacher') == 'renormalised'
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (CARD.mean, CARD.std))
    expected = (raw.flip(1) / 255 - mean) / std
    found = batch['teacher_batches']['teacher']['inputs']
    h, w = expected.shape[2:]
    assert torch.allclose(found[..., :h, :w], expected, atol=1e-5)


# Any module, and files.


def factory(**options):
    return dict(
        type='mmkd.FactoryNetwork',
        factory=f'{__name__}:Cells',
        **GREY,
        **options)


def test_factory_gives_maps_or_tokens(tmp_path):
    images = torch.rand(2, 3, 8, 12)
    cells = nn.functional.avg_pool2d(images, 4)
    (plain, ), = taken(Teacher(factory(), 'random'), images, 'maps')
    assert torch.equal(plain, cells)
    options = dict(arguments=dict(prefix=2), prefix=2, patch=4)
    (tokens, ), = taken(Teacher(factory(**options), 'random'), images, 'maps')
    assert torch.equal(tokens, cells)
    named = Teacher(factory(method='named', **options), 'random')
    (summary, ), (found, ) = taken(named, images, 'summary', 'maps')
    assert torch.equal(found, cells) and (summary == 99).all()
    write_weights(str(tmp_path / 'a.pth'), dict(weight=torch.tensor(3.)), {})
    loaded = Teacher(factory(), str(tmp_path / 'a.pth'))
    assert torch.equal(taken(loaded, images, 'maps')[0][0], 3 * cells)


@pytest.mark.parametrize('cfg, text', [
    (f'torch::{__name__}:Cells', 'mean and std of its images are not known'),
    (f'torch::{__name__}', 'write torch::package.module:function'),
    (f'torch::{__name__}:nothing', 'AttributeError'),
    ('torch::builtins:dict', 'gives dict, not a module'),
])
def test_wrong_factory(cfg, text):
    with pytest.raises(ConfigError, match=text):
        Teacher(cfg, 'random')


def test_weights_that_timm_publishes(tmp_path, monkeypatch):
    pytest.importorskip('timm', reason='needs the extra foundation')
    file = str(tmp_path / 'model.safetensors')
    weights = Teacher('timm::test_vit2', 'random').network.model.state_dict()
    write_weights(file, weights, {})
    asked = []
    monkeypatch.setattr('mmkd.utils.checkpoint.local_file',
                        lambda url: asked.append(url) or file)
    found = Teacher('timm::test_vit2', 'official').network.model.state_dict()
    assert asked[0] == official_weights('timm::test_vit2')
    assert all(value.equal(weights[key]) for key, value in found.items())
    for name, text in (('test_vitt', 'Did you mean .*test_vit'),
                       ('test_vit2.r', 'Tags: test_vit2.r160_in1k')):
        with pytest.raises(ConfigError, match=f'has no model .*{text}'):
            official_weights(f'timm::{name}')


def test_a_network_without_a_summary():
    with pytest.raises(TapError, match='summary'):
        DistillationModel(
            student=segmentor(width=4),
            teachers=dict(teacher=dict(cfg=factory(), ckpt='random')),
            distillers=dict(
                mgd=dict(type='MGD', student='backbone[0]',
                         teacher='summary')),
            dry_run_size=(32, 32))


def test_wrong_tokens():
    with pytest.raises(ConfigError, match='set `patch`'):
        taken(
            Teacher(factory(arguments=dict(prefix=1)), 'random'),
            torch.rand(1, 3, 8, 8), 'maps')


@pytest.mark.parametrize('scheme', ['export', 'torchscript'])
def test_exported_graph_needs_trust(scheme, tmp_path):
    file = str(tmp_path / 'cells.pt2')
    images = torch.rand(2, 3, 8, 8)
    if scheme == 'export':
        torch.export.save(torch.export.export(Cells(), (images, )), file)
    else:
        torch.jit.save(torch.jit.trace(Cells(), images), file)
    with pytest.raises(ConfigError, match='set trusted=True'):
        Teacher(f'{scheme}::{file}')
    (tmp_path / 'preprocessor_config.json').write_text(
        json.dumps(
            dict(
                image_mean=[127.5] * 3,
                image_std=[127.5] * 3,
                do_rescale=False)))
    teacher = Teacher(f'{scheme}::{file}', trusted=True)
    assert teacher.network.card.mean == [.5] * 3
    (found, ), = taken(teacher, images, 'maps')
    assert torch.equal(found, nn.functional.avg_pool2d(images, 4))


def test_onnx(tmp_path):
    pytest.importorskip('onnxruntime')
    onnx = pytest.importorskip('onnx')
    from onnx import helper
    files = []
    for scale in (2., 3.):
        shape = ['n', 3, 'h', 'w']
        graph = helper.make_graph(
            [helper.make_node('Mul', ['x', 'scale'], ['y'])], 'g',
            [helper.make_tensor_value_info('x', 1, shape)],
            [helper.make_tensor_value_info('y', 1, shape)],
            [helper.make_tensor('scale', 1, [1], [scale])])
        files.append(str(tmp_path / f'{scale}.onnx'))
        onnx.save(
            helper.make_model(
                graph,
                opset_imports=[helper.make_opsetid('', 17)],
                ir_version=8), files[-1])
    cfg = dict(type='mmkd.OnnxNetwork', file=files[0], **GREY)
    teacher = Teacher(cfg)
    images = torch.rand(2, 3, 4, 6)
    assert torch.equal(taken(teacher, images, 'maps')[0][0], 2 * images)
    # Caches tell two files apart.
    other = Teacher(dict(cfg, file=files[1]))
    assert weights_hash(teacher.network) != weights_hash(other.network)
    with pytest.raises(ConfigError, match='no output .z., but y'):
        Teacher(dict(cfg, outputs=['z']))
    with pytest.raises(ConfigError, match='no image_mean'):
        Teacher(f'onnx::{files[0]}')
    # Weights outside the folder of the file are refused.
    (tmp_path / 'inner').mkdir()
    (tmp_path / 'weights.bin').write_bytes(b'\0' * 4)
    model = onnx.load(files[0])
    weights = model.graph.initializer[0]
    weights.ClearField('float_data')
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key='location', value='../weights.bin')
    file = tmp_path / 'inner' / 'a.onnx'
    file.write_bytes(model.SerializeToString())
    with pytest.raises(ConfigError, match='escapes'):
        Teacher(dict(cfg, file=str(file)))


# timm.


def test_missing_package(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    with pytest.raises(ConfigError, match='needs timm.* pip install timm'):
        Teacher('timm::test_vit', 'random')


@pytest.mark.parametrize('name', ['test_vit', 'test_vit2'])
def test_timm_transformer(name):
    pytest.importorskip('timm', reason='needs mmkd[foundation]')
    teacher = Teacher(
        dict(type='mmkd.TimmNetwork', name=name, levels=[2, -1]),
        'random',
        precision='fp32')
    images = torch.rand(2, 3, 32, 64)
    (summary, ), maps = taken(teacher, images, 'summary', 'maps')
    model = teacher.network.model
    with torch.no_grad():
        final = model.forward_features(images)
        tokens = final[:, 1:].transpose(1, 2).reshape(2, -1, 2, 4)
        assert torch.equal(maps[-1], tokens)
        assert len(maps) == 2 and maps[0].shape == maps[1].shape
        pooled = model.forward_head(final, pre_logits=True)
    assert torch.equal(summary, final[:, 0] if name == 'test_vit' else pooled)
    # Only the maps: the same, without the blocks after the last level.
    assert torch.equal(taken(teacher, images, 'maps[0]')[0][0], maps[0])
    assert not any(p.requires_grad for p in teacher.network.parameters())
    assert 'licence apache-2.0' in teacher.network.notes()


def test_timm_pyramid():
    timm = pytest.importorskip('timm', reason='needs mmkd[foundation]')
    teacher = Teacher(
        dict(type='mmkd.TimmNetwork', name='test_resnet', levels=[2, 4]),
        'random')
    images = torch.rand(1, 3, 64, 96)
    maps, = taken(teacher, images, 'maps')
    assert [x.shape[2:] for x in maps] == [(8, 12), (2, 3)]
    with pytest.raises(ConfigError, match='Did you mean .*test_vit'):
        Teacher('timm::test_vitt', 'random')
    assert timm.__version__


def test_timm_weights_are_complete(tmp_path):
    """timm itself accepts a file with missing weights in silence."""
    timm = pytest.importorskip('timm', reason='needs mmkd[foundation]')
    weights = timm.create_model('test_vit', num_classes=7).state_dict()
    file = str(tmp_path / 'weights.safetensors')
    write_weights(file, weights, {})
    teacher = Teacher('timm::test_vit', file)
    loaded = teacher.network.model.state_dict()
    assert all(torch.equal(loaded[key], weights[key]) for key in loaded)
    del weights['blocks.3.mlp.fc1.weight']
    write_weights(file, weights, {})
    with pytest.raises(CheckpointError, match='lacks 1 .*blocks.3.mlp.fc1'):
        Teacher('timm::test_vit', file)
    with pytest.raises(ConfigError, match='hf download timm/test_vit'):
        Teacher('timm::test_vit')


def test_timm_converts_the_first_release():
    """Which has a mask token, for instance."""
    pytest.importorskip('timm', reason='needs mmkd[foundation]')
    network = Teacher('timm::test_vit', 'random').network
    own = network.model.state_dict()
    mask = torch.zeros(1, own['pos_embed'].shape[-1])
    found = network.own_weights(dict(own, mask_token=mask))
    assert set(found) == {f'model.{key}' for key in own}


def test_timm_norm():
    pytest.importorskip('timm', reason='needs mmkd[foundation]')
    torch.manual_seed(0)
    cfg = dict(type='mmkd.TimmNetwork', name='test_vit')
    teacher = Teacher(dict(cfg, norm='none'), 'random', precision='fp32')
    images = torch.rand(1, 3, 32, 32)
    (raw, ), = taken(teacher, images, 'maps')
    teacher.network.norm = True
    (final, ), = taken(teacher, images, 'maps')
    norm = teacher.network.model.norm
    assert torch.allclose(
        final, norm(raw.movedim(1, -1)).movedim(-1, 1), atol=1e-5)
    assert not torch.allclose(final, raw, atol=1e-2)


def test_a_step_with_timm():
    pytest.importorskip('timm', reason='needs mmkd[foundation]')
    from mmengine.optim import OptimWrapper
    model = DistillationModel(
        student=segmentor(width=4),
        teachers=dict(teacher=dict(cfg='timm::test_vit', ckpt='random')),
        distillers=dict(mgd=dict(type='MGD', student='backbone[-2]')),
        dry_run_size=(64, 64)).train()
    network = model.teachers['teacher'].network
    assert family_of(network).describe(network) == 'timm::test_vit'
    before = weights_hash(network)
    optimizer = torch.optim.SGD(model.parameters(), lr=.1)
    log = model.train_step(segmentation_batch(), OptimWrapper(optimizer))
    assert log['loss'].isfinite() and log['mgd.loss'] > 0
    assert weights_hash(network) == before
    assert not any('teacher' in key for key in model.state_dict())


# transformers.


@pytest.fixture(scope='module')
def folders(tmp_path_factory):
    """A folder of each kind of tiny model by name."""
    transformers = pytest.importorskip(
        'transformers', reason='needs mmkd[foundation]')
    torch.manual_seed(0)
    small = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=2)
    configs = dict(
        dinov2=transformers.Dinov2Config(image_size=28, **small),
        registers=transformers.Dinov2WithRegistersConfig(
            image_size=28, **small),
        dinov3=transformers.DINOv3ViTConfig(
            intermediate_size=48, num_register_tokens=4, **small),
        convnext=transformers.ConvNextConfig(
            hidden_sizes=[4, 8, 12, 16], depths=[1] * 4),
        siglip=transformers.SiglipVisionConfig(
            image_size=32, intermediate_size=48, **small),
        clip=transformers.CLIPVisionConfig(
            image_size=32, patch_size=16, intermediate_size=48, **small))
    configs['both'] = transformers.SiglipConfig(
        vision_config=configs['siglip'].to_dict(),
        text_config=dict(
            intermediate_size=48,
            vocab_size=8,
            bos_token_id=0,
            eos_token_id=1,
            **small))
    configs['bert'] = transformers.BertConfig(
        intermediate_size=48, vocab_size=8, **small)
    found = {}
    for name, config in configs.items():
        found[name] = str(tmp_path_factory.mktemp(name))
        transformers.AutoModel.from_config(config).save_pretrained(found[name])
        with open(f'{found[name]}/preprocessor_config.json', 'w') as file:
            json.dump(
                dict(
                    image_mean=[.4] * 3,
                    image_std=[.2] * 3,
                    rescale_factor=1 / 255), file)
        with open(f'{found[name]}/README.md', 'w') as file:
            file.write('---\nlicense: other\nlicense_name: its-own\n---\n')
    return found


@pytest.mark.parametrize('name', ['dinov2', 'registers', 'dinov3'])
def test_transformer_of_a_folder(folders, name):
    from transformers import AutoModel
    teacher = Teacher(
        dict(type='mmkd.HFNetwork', folder=folders[name], levels=[0, 1]),
        precision='fp32')
    patch = teacher.network.patch[0]
    images = torch.rand(2, 3, 2 * patch, 3 * patch)
    (summary, ), maps = taken(teacher, images, 'summary', 'maps')
    model = AutoModel.from_pretrained(folders[name], local_files_only=True)
    with torch.no_grad():
        expected = model.eval()(images)
    tokens = expected.last_hidden_state[:, -6:].transpose(1, 2)
    assert torch.equal(maps[1], tokens.reshape(2, 24, 2, 3))
    assert not torch.equal(maps[0], maps[1])
    assert torch.equal(summary, expected.pooler_output)
    assert teacher.network.card.mean == pytest.approx([.4] * 3)
    assert 'licence other, its-own' in teacher.network.notes()


def test_the_last_norm_is_applied_to_each_level(folders):
    """The hidden states of transformers are those before it."""
    found = {}
    for norm in ('final', 'none'):
        teacher = Teacher(
            dict(
                type='mmkd.HFNetwork',
                folder=folders['dinov2'],
                norm=norm,
                levels=[0, 1]),
            precision='fp32')
        found[norm] = taken(teacher, torch.ones(1, 3, 28, 28), 'maps')[0]
    norm = teacher.network.model.layernorm
    for final, raw in zip(found['final'], found['none']):
        assert torch.allclose(
            final, norm(raw.movedim(1, -1)).movedim(-1, 1), atol=1e-5)
        assert not torch.allclose(final, raw, atol=1e-2)


@pytest.mark.parametrize('name', ['siglip', 'clip', 'both'])
def test_image_side_of_siglip_and_clip(folders, name):
    """At another size than its own, with and without a class token."""
    from transformers import CLIPVisionModel, SiglipVisionModel
    teacher = Teacher(
        dict(type='mmkd.HFNetwork', folder=folders[name], levels=[0, -1]),
        precision='fp32')
    assert teacher.network.fitted(50, 60) == (48, 64)
    images = torch.rand(2, 3, 48, 64)
    (summary, ), maps = taken(teacher, images, 'summary', 'maps')
    cls = CLIPVisionModel if name == 'clip' else SiglipVisionModel
    model = cls.from_pretrained(folders[name], local_files_only=True).eval()
    with torch.no_grad():
        expected = model(images, interpolate_pos_encoding=True)
        tokens = expected.last_hidden_state[:, -12:]
        if name == 'clip':  # which it leaves to the pooling
            tokens = model.post_layernorm(tokens)
    tokens = tokens.transpose(1, 2).reshape(2, 24, 3, 4)
    assert torch.allclose(maps[1], tokens, atol=1e-5)
    assert maps[0].shape == maps[1].shape and not torch.equal(*maps)
    assert torch.allclose(summary, expected.pooler_output, atol=1e-5)


def test_weights_in_several_files(folders, tmp_path):
    from transformers import AutoModel
    model = AutoModel.from_pretrained(folders['dinov2'], local_files_only=True)
    shutil.copytree(folders['dinov2'], tmp_path, dirs_exist_ok=True)
    (tmp_path / 'model.safetensors').unlink()
    model.save_pretrained(tmp_path, max_shard_size='20KB')
    files = sorted(tmp_path.glob('*.safetensors'))
    assert len(files) > 1
    images = torch.rand(1, 3, 28, 28)
    whole, parts = (
        taken(Teacher(f'hf::{folder}', precision='fp32'), images, 'maps')[0][0]
        for folder in (folders['dinov2'], tmp_path))
    assert torch.equal(whole, parts)
    files[0].rename(tmp_path / 'moved')
    with pytest.raises(CheckpointError, match=f'no file.*{files[0].name}'):
        Teacher(f'hf::{tmp_path}')


def test_code_in_a_folder_never_runs(folders, tmp_path):
    folder = tmp_path / 'folder'
    shutil.copytree(folders['dinov2'], folder)
    config = json.loads((folder / 'config.json').read_text())
    config.update(model_type='own', auto_map=dict(AutoConfig='code.Config'))
    (folder / 'config.json').write_text(json.dumps(config))
    (folder / 'code.py').write_text(f'open({str(tmp_path / "ran")!r}, "w")')
    with pytest.raises(ConfigError, match='cannot read config.json'):
        Teacher(f'hf::{folder}')
    assert not (tmp_path / 'ran').exists()


def test_incomplete_folders(folders, tmp_path):
    """transformers itself fills what is missing with random numbers."""
    with pytest.raises(CheckpointError, match='lacks 2 weights of ConvNext'):
        Teacher(f'hf::{folders["convnext"]}')
    from safetensors.torch import load_file, save_file
    weights = load_file(f'{folders["dinov2"]}/model.safetensors')
    del weights['layernorm.weight']
    save_file(weights, str(tmp_path / 'cut.safetensors'))
    with pytest.raises(CheckpointError, match='lacks 1 .*layernorm.weight'):
        Teacher(f'hf::{folders["dinov2"]}', str(tmp_path / 'cut.safetensors'))
    with pytest.raises(ConfigError, match='no backbone class for bert'):
        Teacher(f'hf::{folders["bert"]}')
    with pytest.raises(ConfigError, match='hf download'):
        Teacher('hf::facebook/dinov2-small')


def test_model_on_the_hub(folders, monkeypatch):
    hub = pytest.importorskip('huggingface_hub')
    asked = []

    def download(name, allow_patterns):
        asked.append(name)
        assert not any(
            fnmatch(x, pattern) for pattern in allow_patterns
            for x in ('code.py', 'pytorch_model.bin'))
        return folders['dinov2']

    monkeypatch.setattr(hub, 'snapshot_download', download)
    images = torch.rand(1, 3, 28, 28)
    options = dict(ckpt='official', precision='fp32')
    local, short, long = (
        taken(teacher, images, 'maps')[0][0] for teacher in (
            Teacher(f'hf::{folders["dinov2"]}', precision='fp32'),
            Teacher('hf::facebook/dinov2-small', **options),
            Teacher(
                dict(type='mmkd.HFNetwork', folder='facebook/dinov2-small'), **
                options)))
    assert asked == ['facebook/dinov2-small'] * 2
    assert torch.equal(local, short) and torch.equal(local, long)
    with pytest.raises(ConfigError, match='leave ckpt out'):
        Teacher(f'hf::{folders["dinov2"]}', 'official')
    monkeypatch.setattr(hub, 'snapshot_download',
                        lambda *args, **kwargs: open('/no/network'))
    with pytest.raises(ConfigError, match="'hf download facebook/dinov2-s"):
        Teacher('hf::facebook/dinov2-small', 'official')


def test_command_with_a_model_on_the_hub(folders, tmp_path, monkeypatch):
    hub = pytest.importorskip('huggingface_hub')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hub, 'snapshot_download',
                        lambda name, allow_patterns: folders['dinov2'])
    Config(segmentor(width=4)).dump('student.py')
    (tmp_path / 'images').mkdir()
    for i in range(4):
        image = np.random.default_rng(i).integers(0, 256, (64, 64, 3))
        cv2.imwrite(f'images/{i}.png', image)
    call([
        'distill', 'student.py', '--teacher', 'hf::facebook/dinov2-small',
        '--teacher-ckpt', 'official', '--images', 'images', '--epochs', '1',
        '--batch-size', '2', '--size', '56', '--seed', '0', '--work-dir',
        'run', '--cfg-options', 'label_free.num_workers=0'
    ])
    assert (tmp_path / 'run/epoch_1.pth').is_file()
    short = next(
        x for x in (tmp_path / 'run').glob('*.py')
        if not x.stem.endswith('_full'))
    # As the user wrote it, so that it runs on other machines.
    teacher = Config.fromfile(short).model.teachers.teacher
    assert teacher == dict(cfg='hf::facebook/dinov2-small', ckpt='official')


def test_folder_without_a_card(folders, tmp_path):
    folder = tmp_path / 'bare'
    shutil.copytree(folders['dinov2'], folder)
    (folder / 'preprocessor_config.json').unlink()
    with pytest.raises(ConfigError, match='no image_mean'):
        Teacher(f'hf::{folder}')
    Teacher(dict(type='mmkd.HFNetwork', folder=str(folder), **GREY))
