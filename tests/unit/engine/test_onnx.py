"""Export to ONNX: what the graph returns, and when it is refused."""
import importlib.util
import json
from types import SimpleNamespace

import pytest
import torch

from mmkd.core.network import build_network
from mmkd.engine import onnx
from mmkd.errors import ConfigError
from mmkd.families import MMDet3DFamily, MMDetFamily
from mmkd.testing import detector, segmentor


def network_of(config):
    torch.manual_seed(0)
    return build_network(config, 'the student').eval()


def test_segmentor_returns_logits_at_the_size_of_its_input():
    pytest.importorskip('onnxscript')
    ort = pytest.importorskip('onnxruntime')
    network = network_of(segmentor(num_classes=5))
    images = torch.randn(2, 3, 32, 64)
    content, export = onnx.convert(network, images, classes=['a', 'b'])
    output, = export.outputs
    assert (output.name, output.shape) == ('logits', ('batch', 5, 32, 64))
    assert output.difference < 1e-5 < output.largest
    assert (export.opset, export.shape) == (20, ('batch', 3, 32, 64))
    # Another batch than the one that was traced.
    session = ort.InferenceSession(content, providers=['CPUExecutionProvider'])
    images = torch.randn(3, 3, 32, 64)
    found, = session.run(None, dict(image=images.numpy()))
    with torch.no_grad():
        expected = network.encode_decode(
            images, [dict(img_shape=(32, 64), ori_shape=(32, 64))])
    assert torch.allclose(torch.from_numpy(found), expected, atol=1e-5)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts['classes']) == ['a', 'b']
    assert facts['channels'] == 'RGB'
    assert json.loads(facts['mean'])[0] == pytest.approx(123.675)


def test_a_difference_is_refused(monkeypatch):
    pytest.importorskip('onnxscript')
    ort = pytest.importorskip('onnxruntime')
    plain = ort.InferenceSession.run
    monkeypatch.setattr(ort.InferenceSession, 'run',
                        lambda *args: [x + 2e-4 for x in plain(*args)])
    with pytest.raises(ConfigError, match='differs from PyTorch by 2.0e-04'):
        onnx.convert(
            network_of(segmentor(num_classes=2)), torch.randn(2, 3, 32, 64))


def test_outputs_of_a_detector_have_the_names_of_its_head():
    network = network_of(detector())
    family = MMDetFamily()
    images = torch.randn(2, 3, 64, 64)
    outputs = family.raw_outputs(network, images, None)
    assert list(outputs) == [
        f'{kind}_{level}' for kind in ('cls_scores', 'bbox_preds')
        for level in range(5)
    ]
    assert outputs['bbox_preds_1'].shape == (2, 4, 4, 4)


@pytest.mark.parametrize('family, network, message', [
    (MMDetFamily(), SimpleNamespace(roi_head=1), 'suppresses proposals'),
    (MMDet3DFamily(), SimpleNamespace(), 'networks of mmseg and mmdet can'),
])
def test_other_networks_are_refused(family, network, message):
    with pytest.raises(ConfigError, match=message):
        family.raw_outputs(network, torch.zeros(1), None)


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None
                        if name == 'onnxscript' else 1)
    with pytest.raises(
            ConfigError,
            match='needs onnxscript; install with: '
            'pip install onnx onnxscript onnxruntime'):
        onnx.check_packages()


def test_images_of_missing_data_are_noise():
    network = network_of(segmentor())
    config = SimpleNamespace(get=lambda name: None)
    with pytest.raises(ConfigError, match='give --size HEIGHT WIDTH'):
        onnx._images(config, network, None)
    images, said, _ = onnx._images(config, network, (32, 48))
    assert images.shape == (2, 3, 32, 48)
    assert said.startswith('noise')
    # The window of a network that predicts in windows.
    network.test_cfg.update(mode='slide', crop_size=(16, 24))
    assert onnx._images(config, network, None)[0].shape[2:] == (16, 24)


def test_a_batch_that_the_code_fixes_stays_fixed(monkeypatch):
    pytest.importorskip('onnxscript')
    pytest.importorskip('onnxruntime')
    network = network_of(segmentor())
    monkeypatch.setattr(network, 'encode_decode',
                        lambda images, metas: images + torch.ones(2, 1, 1, 1))
    _, export = onnx.convert(network, torch.randn(2, 3, 32, 64))
    assert export.shape == (2, 3, 32, 64)
    assert export.outputs[0].shape == (2, 3, 32, 64)
