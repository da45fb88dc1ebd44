"""What mmkd knows of mmseg's segmentors."""
import pytest
import torch
from torch import nn

from mmkd.core.network import build_network
from mmkd.families import family_of, is_transformer
from mmkd.testing import segmentor, transformer_segmentor


def test_places():
    network = build_network(segmentor(), 'x')
    family = family_of(network)
    assert family.name == 'mmseg'
    found = {
        place: [known.tap for known in family.taps(network, place)]
        for place in family.places
    }
    assert found['maps'] == found['logits'] == ['decode_head.conv_seg']
    assert found['features'] == ['backbone[-1]']
    assert found['neck'] == found['patches'] == []
    assert 'nodes' not in found  # of a scan


@pytest.mark.parametrize('cfg', [segmentor(), transformer_segmentor()])
def test_example(cfg):
    network = build_network(cfg, 'x')
    batch = family_of(network).example_batch(network, (64, 96))
    assert batch['inputs'].shape == (1, 3, 64, 96)
    sample, = batch['data_samples']
    assert sample.gt_sem_seg.data.shape == (1, 64, 96)
    losses = network(batch['inputs'], batch['data_samples'], mode='loss')
    assert torch.isfinite(losses['decode.loss_ce'])


def test_self_attention():
    for cfg, expected in ((segmentor(), False), (transformer_segmentor(),
                                                 True)):
        network = build_network(cfg, 'x')
        assert is_transformer(network) is expected


def test_prediction():
    network = build_network(segmentor(), 'x').eval()
    family = family_of(network)
    batch = family.example_batch(network, (64, 96))
    with torch.no_grad():
        found = family.predict_image(network, batch, (60, 90))
    assert found.labels.shape == (60, 90) and found.instances is None
    assert batch['data_samples'][0].img_shape == (64, 96)


def test_classifiers_of_a_cascade():
    network = build_network(segmentor(), 'x')
    network.decode_head = nn.ModuleList([network.decode_head] * 2)
    network.auxiliary_head = network.decode_head[0]
    found = [
        known for place in ('logits', 'auxiliary_logits')
        for known in family_of(network).taps(network, place)
    ]
    assert [(known.tap, known.kind, known.level) for known in found
            ] == [('decode_head.1.conv_seg', 'logits', 0),
                  ('decode_head.0.conv_seg', 'auxiliary_logits', 0),
                  ('auxiliary_head.conv_seg', 'auxiliary_logits', 1)]
