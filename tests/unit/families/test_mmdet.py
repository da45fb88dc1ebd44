"""What mmkd knows of mmdet's detectors."""
import torch

from mmkd.core.network import build_network
from mmkd.families import family_of
from mmkd.testing import detector


def test_places():
    network = build_network(detector(), 'x')
    family = family_of(network)
    assert family.name == 'mmdet'
    found = {
        place: [known.tap for known in family.taps(network, place)]
        for place in family.places
    }
    assert found['maps'] == found['neck'] == ['neck']
    assert found['stages'] == ['backbone'] and found['logits'] == []
    assert 'bev_low' not in found


def test_example():
    network = build_network(detector(), 'x')
    batch = family_of(network).example_batch(network, (64, 96))
    assert batch['inputs'].shape == (1, 3, 64, 96)
    sample, = batch['data_samples']
    assert sample.gt_instances.bboxes.tolist() == [[24, 16, 72, 48]]
    assert sample.gt_instances.masks.masks.shape == (1, 64, 96)
    assert network(batch['inputs'], batch['data_samples'], mode='loss')


def test_prediction():
    network = build_network(detector(), 'x').eval()
    family = family_of(network)
    batch = family.example_batch(network, (64, 96))
    with torch.no_grad():
        found = family.predict_image(network, batch, (60, 90))
    assert found.labels is None
    assert found.instances.bboxes.shape == (len(found.instances), 4)
