"""What mmkd knows of mmseg's segmentors."""
import pytest
import torch

from mmkd.core.network import build_network
from mmkd.families import family_of
from mmkd.testing import segmentor, transformer_segmentor


def test_places():
    network = build_network(segmentor(), 'x')
    family = family_of(network)
    assert family.name == 'mmseg' and family.predicts_on_images
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
