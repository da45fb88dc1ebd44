"""What mmkd knows of mmdet's detectors."""
import pytest
import torch
from torch import nn

from mmkd.core.network import build_network
from mmkd.core.taps.catcher import TapCatcher
from mmkd.core.taps.tap import Tap
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
    assert found['dense_logits'] == [
        dict(module='bbox_head.retina_cls', calls='all')
    ]
    assert 'bev_low' not in found


@pytest.mark.parametrize('config, name', [
    ('yolox/yolox_tiny_8xb8-300e_coco.py', 'multi_level_conv_cls'),
    ('rtmdet/rtmdet_tiny_8xb32-300e_coco.py', 'rtm_cls'),
])
def test_class_scores_with_a_layer_a_level(config, name):
    network = build_network(f'mmdet::{config}', 'x')
    taps = family_of(network).taps(network, 'dense_logits')
    assert [known.tap for known in taps
            ] == [dict(module=f'bbox_head.{name}.{i}') for i in range(3)]


def test_example():
    network = build_network(detector(), 'x')
    batch = family_of(network).example_batch(network, (64, 96))
    assert batch['inputs'].shape == (1, 3, 64, 96)
    sample, = batch['data_samples']
    assert sample.gt_instances.bboxes.tolist() == [[24, 16, 72, 48]]
    assert sample.gt_instances.masks.masks.shape == (1, 64, 96)
    assert sample.gt_sem_seg.sem_seg.shape == (1, 64, 96)
    assert network(batch['inputs'], batch['data_samples'], mode='loss')


class Branches(nn.Module):
    """TridentNet's backbone: all branches as one batch while it trains."""
    num_branch, test_branch_idx = 3, 1

    def forward(self, x):
        count = 3 if self.training else 1
        return tuple(
            torch.cat([x + 1 if self.training else x] * count)
            for _ in range(2))


def test_the_branch_that_tests():
    network = build_network(detector(), 'x')
    network.backbone = Branches()
    family = family_of(network)
    tap, = family.taps(network, 'stages')
    assert tap.tap == dict(module='backbone', part=(1, 3))
    del network.neck
    tap, = [Tap.parse(x.tap) for x in family.taps(network, 'features')]
    assert (tap.path, tap.part) == ('backbone[-1]', (1, 3))
    images = torch.arange(2.).view(2, 1, 1, 1)
    for mode, wanted in ((True, [1, 2]), (False, [0, 1])):
        with TapCatcher(network, [tap], 'x') as caught:
            network.backbone.train(mode)(images)
        found, = caught.take()[tap]
        assert found.flatten().tolist() == wanted
    network.backbone.test_branch_idx = -1  # tests all of them
    assert family.taps(network, 'stages')[0].tap == 'backbone'


def test_prediction():
    network = build_network(detector(), 'x').eval()
    family = family_of(network)
    batch = family.example_batch(network, (64, 96))
    with torch.no_grad():
        found = family.predict_image(network, batch, (60, 90))
    assert found.labels is None
    assert found.instances.bboxes.shape == (len(found.instances), 4)
