import os.path as osp

import pytest

from mmkd.errors import ConfigError
from mmkd.utils.config import official_weights, read_config
from mmkd.utils.foundation import (absolute, foundation_config, has_weights,
                                   plain_name, weights_of, with_trust)


def test_short_and_long_form():
    assert foundation_config('timm::vit.tag') == dict(
        type='mmkd.TimmNetwork', name='vit.tag')
    assert read_config('onnx::a.onnx').model == dict(
        type='mmkd.OnnxNetwork', file='a.onnx')
    for other in ('mmseg::pspnet/x.py', 'a.py', dict(type='x'), None):
        assert foundation_config(other) is None
    with pytest.raises(ConfigError, match='write hf::FOLDER'):
        foundation_config('hf::')


def test_paths_and_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a/b').mkdir(parents=True)
    assert absolute('hf::a/b') == f'hf::{osp.abspath("a/b")}'
    assert absolute('hf::on/hub') == 'hf::on/hub'
    assert absolute('timm::a/b') == 'timm::a/b'
    assert absolute('mmseg::a/b') == 'mmseg::a/b'
    assert plain_name('timm::vit_small.lvd142m') == 'vit_small'
    assert plain_name('hf::models/dino/') == 'dino'
    assert plain_name('torch::package.module:factory') == 'factory'
    assert plain_name('mmseg::a.py') == plain_name('a.py') == ''


def test_who_has_weights(tmp_path):
    assert has_weights('hf::x') and has_weights('onnx::x')
    assert not has_weights('timm::x') and not has_weights('mmseg::x')
    assert weights_of(f'hf::{tmp_path}') == str(tmp_path / 'model.safetensors')
    assert weights_of('hf::nowhere') is weights_of('onnx::x') is None


def test_trust_goes_to_exported_graphs_only():
    assert with_trust('export::x', True) == dict(
        type='mmkd.ExportedNetwork', file='x', trusted=True)
    assert with_trust('torchscript::x', True)['trusted']
    assert with_trust('export::x', False) == 'export::x'
    assert with_trust('timm::x', True) == 'timm::x'


def test_weights_that_timm_publishes():
    pytest.importorskip('timm', reason='needs the extra foundation')
    for cfg in ('timm::test_vit2',
                dict(type='mmkd.TimmNetwork', name='test_vit2.r160_in1k')):
        assert official_weights(cfg).endswith(
            '/timm/test_vit2.r160_in1k/resolve/main/model.safetensors')
    for name, text in (('vit', "no model 'vit'. Did you mean test_vit,"),
                       ('test_vit2.tag', 'Tags: test_vit2.r160_in1k'),
                       ('coatnet_0_224', 'publishes no weights')):
        with pytest.raises(ConfigError, match=text):
            official_weights(f'timm::{name}')


@pytest.mark.parametrize('cfg, text', [
    ('hf::folder', 'leave ckpt out'),
    (dict(type='mmkd.FactoryNetwork', factory='a:b'), "or 'random'"),
])
def test_nothing_is_downloaded(cfg, text):
    with pytest.raises(ConfigError, match=text):
        official_weights(cfg)
