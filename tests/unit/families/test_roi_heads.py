"""RoI heads of mmdet, as methods use them."""
import pytest
import torch

from mmkd.core.model import DistillationModel
from mmkd.core.network import build_network
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.families.roi_heads import find_roi_head, roi_head_of
from mmkd.testing import detection_batch, detector
from mmkd.testing.networks import cascade_detector, two_stage_detector


def test_recorded_boxes():
    torch.manual_seed(0)
    network = build_network(two_stage_detector(), 'x').train()
    head = roi_head_of(network, 'x')
    assert (head.num_classes, head.channels) == (3, 16)
    assert head.code == {'number of classes': 3}
    batch = network.data_preprocessor(detection_batch(), True)
    seen = []
    network.roi_head.bbox_roi_extractor.register_forward_hook(
        lambda module, args, out: seen.append(args[1]))
    with head.recording():
        network(**batch, mode='loss')
    rois, labels = head.samples
    assert rois.equal(seen[0]) and len(labels) == len(rois)
    # Those of objects overlap with one of their class.
    for image, sample in enumerate(batch['data_samples']):
        own = rois[:, 0] == image
        front = labels[own] < 3
        assert front.any()
        assert set(labels[own][front].tolist()) <= set(
            sample.gt_instances.labels.tolist())
    # As the head itself computes them.
    maps = network.extract_feat(batch['inputs'])
    found = head.features(maps, rois)
    assert found.embeddings.shape == (len(rois), 16)
    assert torch.allclose(
        network.roi_head.bbox_head.fc_cls(found.embeddings), found.logits)


def test_places_and_traits():
    network = build_network(two_stage_detector(), 'x')
    family = family_of(network)
    for place, path in (('roi_embeddings', 'roi_head.bbox_head.fc_cls@input'),
                        ('roi_logits', 'roi_head.bbox_head.fc_cls')):
        assert [known.tap for known in family.taps(network, place)] == [path]
    traits = family.traits(network)
    assert traits['roi_classes'] == 3 and traits['roi_channels'] == 16
    assert traits['roi_codes'] == 12 and traits['roi_single']
    other = build_network(detector(), 'x')
    assert family.taps(other, 'roi_logits') == []
    assert 'roi_channels' not in family.traits(other)
    with pytest.raises(
            ConfigError, match='x .RetinaNet. has no known RoI head'):
        roi_head_of(other, 'x')


def test_first_stage_of_a_cascade():
    torch.manual_seed(0)
    network = build_network(cascade_detector(8), 'x').eval()
    head = roi_head_of(network, 'x', single=False)
    assert (head.num_classes, head.channels) == (3, 16)
    assert not family_of(network).traits(network)['roi_single']
    rois = torch.tensor([[0., 4, 4, 30, 40], [1, 8, 0, 60, 60]])
    maps = network.extract_feat(torch.randn(2, 3, 64, 64))
    found = head.features(maps, rois)
    results = network.roi_head._bbox_forward(0, maps, rois)
    torch.testing.assert_close(found.logits, results['cls_score'])
    torch.testing.assert_close(found.boxes, results['bbox_pred'])
    # Its own losses train all stages, so that it is no student here.
    assert find_roi_head(network) is None
    assert family_of(network).taps(network, 'roi_logits') == []
    with pytest.raises(ConfigError, match='as teachers also Cascade R-CNN'):
        roi_head_of(network, 'x')


def test_a_cascade_teaches():
    model = DistillationModel(
        two_stage_detector(4),
        dict(teacher=dict(cfg=cascade_detector(8), ckpt='random')),
        dict(
            kd=dict(type='LogitsKD', divergence='dist'),
            boxes=dict(type='MasKD', masks='random')),
        dry_run_size=(64, 64)).train()
    losses = model(
        **model.data_preprocessor(detection_batch(), True), mode='loss')
    assert 0 < losses['kd.loss_inter'] < 2 and 0 < losses['kd.loss_intra'] < 2
    assert losses['boxes.loss_boxes'] > 0
