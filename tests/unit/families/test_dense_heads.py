"""The common interface to dense heads of mmdet."""
import copy

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope

from mmkd.core.network import build_network
from mmkd.core.taps.catcher import TapCatcher
from mmkd.core.taps.tap import Tap
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.families.dense_heads import (DenseOutputs, dense_head_kind, rows,
                                       wrap_dense_head)
from mmkd.testing import detection_batch, detector

KINDS = ('retinanet', 'atss', 'gfl', 'fcos')


@pytest.fixture(scope='module', params=KINDS)
def network(request):
    """A network of each kind whose scores depend on its features."""
    torch.manual_seed(0)
    built = build_network(detector(kind=request.param, stacked_convs=2), 'x')
    for module in built.bbox_head.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight, std=0.1)
    return built.eval()


def prepared(network, **kwargs):
    data = network.data_preprocessor(detection_batch(**kwargs), True)
    return data['inputs'], data['data_samples']


def features_of(network, images, count):
    """What the tail continues from, of both branches."""
    if not count:
        return [(x, x) for x in network.extract_feat(images)]
    taps = [
        Tap.parse(x.tap)
        for x in family_of(network).taps(network, f'dense_features_{count}')
    ]
    with TapCatcher(network, taps, 'x') as catcher:
        network(images)
    caught = {
        tap: [x.clone() for x in levels]
        for tap, levels in catcher.take(False).items()
    }
    return list(zip(*(caught[tap] for tap in taps)))


@pytest.mark.parametrize('count', [0, 1, 2])
@torch.no_grad()
def test_tail_of_the_own_features_is_the_head(network, count):
    images, _ = prepared(network)
    for conv in (*network.bbox_head.cls_convs, *network.bbox_head.reg_convs):
        conv.activate.inplace = False  # the taps are not copied here
    head = family_of(network).dense_head(network)
    features = features_of(network, images, count)
    before = copy.deepcopy(features)
    found = head.tail(count, features)
    wanted = DenseOutputs(*network(images))
    assert len(found.cls) == len(found.box) == 5
    for levels, expected in zip(found, wanted):
        assert len(levels) == len(expected)
        assert all(x.equal(y) for x, y in zip(levels, expected))
    assert all(
        x.equal(y) for level in zip(features, before) for x, y in zip(*level))


def test_gradients_pass_the_tail(network):
    head = family_of(network).dense_head(network)
    frozen = copy.deepcopy(head.head).requires_grad_(False)
    head = type(head)(frozen)
    features = [(torch.randn(1, 8, 2, 2, requires_grad=True),
                 torch.randn(1, 8, 2, 2, requires_grad=True))
                for _ in range(5)]
    found = head.tail(1, features)
    sum(x.sum() for levels in found for x in levels).backward()
    assert all(x.grad.any() for level in features for x in level)
    assert all(p.grad is None for p in frozen.parameters())
    assert len(frozen.cls_convs) == 2


def test_box_taps(network):
    """They give the codes as they are before an exponential."""
    images, _ = prepared(network)
    taps = [
        Tap.parse(x.tap)
        for x in family_of(network).taps(network, 'dense_boxes')
    ]
    with TapCatcher(network, taps, 'x') as catcher, torch.no_grad():
        box = network(images)[1]
    found = [x for levels in catcher.take().values() for x in levels]
    if dense_head_kind(network.bbox_head).name == 'fcos':
        found = [x.exp() for x in found]
    assert all(x.equal(y) for x, y in zip(found, box)) and len(found) == 5


def test_targets(network):
    """They are those of the head's loss, recorded or computed."""
    images, samples = prepared(network)
    head = family_of(network).dense_head(network)
    with head.recording():
        network(images, samples, mode='loss')
    assert 'get_targets' not in vars(network.bbox_head)
    with torch.no_grad():
        outputs = DenseOutputs(*network(images))
    recorded = head.targets(outputs.cls, samples)
    computed = type(head)(network.bbox_head).targets(outputs.cls, samples)
    torch.testing.assert_close(
        recorded, computed, rtol=0, atol=0, equal_nan=True)
    for prior, label, cls, box in zip(recorded.priors, recorded.labels,
                                      outputs.cls, outputs.box):
        assert len(label) == len(rows(cls, 3)) == 2 * len(prior)
        assert len(rows(box, head.box_size)) == len(label)
    count = sum(x.sum() for x in recorded.positives)
    assert 0 < count == torch.as_tensor(recorded.num_positives)
    quality = torch.cat(head.quality(recorded, outputs.box))
    positives = torch.cat(recorded.positives)
    assert (quality[~positives] == 0).all() and (quality >= 0).all()
    assert quality[positives].any() and (quality <= 1).all()
    expected = quality.sum() if head.name == 'fcos' else count.float()
    torch.testing.assert_close(head.avg_factor(recorded), expected)


def test_a_perfect_box_has_the_iou_one():
    """Codes of the objects themselves; those of GFL are one-hot."""
    network = build_network(detector(kind='gfl'), 'x')
    _, samples = prepared(network)
    head = family_of(network).dense_head(network)
    maps = [torch.zeros(2, 3, 8 // 2**i, 8 // 2**i) for i in range(4)]
    maps.append(torch.zeros(2, 3, 1, 1))
    targets = head.targets(maps, samples)
    for sample in samples:  # edges at whole bins of the first level
        boxes = sample.gt_instances.bboxes
        sample.gt_instances.bboxes = boxes.div(8).round().mul(8)
    targets = type(head)(network.bbox_head).targets(maps, samples)
    boxes = []
    for level, (x, stride) in enumerate(zip(maps, (8, 16, 32, 64, 128))):
        prior = head.head.anchor_center(targets.priors[level]).repeat(2, 1)
        wanted = targets.box_targets[level]
        edges = torch.cat([prior - wanted[:, :2], wanted[:, 2:] - prior], 1)
        bins = (edges / stride).clamp(0, 16)
        below = bins.floor().long()
        share = torch.zeros(len(bins), 4, 18)
        share.scatter_(2, below[..., None], (1 - bins + below)[..., None])
        share.scatter_(2, below[..., None] + 1, (bins - below)[..., None])
        codes = share[..., :17].clamp(min=1e-9).log().reshape(len(bins), -1)
        boxes.append(
            codes.view(2, *x.shape[2:], 68).permute(0, 3, 1, 2).contiguous())
    for quality, positives in zip(
            head.quality(targets, boxes), targets.positives):
        assert quality[positives].allclose(torch.ones(()), atol=1e-4)


def test_without_objects(network):
    _, samples = prepared(network, boxes=0)
    maps = [torch.zeros(2, 3, 2, 2) for _ in range(5)]
    head = family_of(network).dense_head(network)
    targets = head.targets(maps, samples)
    assert not torch.cat(targets.positives).any()
    # Heads with anchors count one positive at least in each image.
    assert head.avg_factor(targets) == (0 if head.name == 'fcos' else 2)


@pytest.mark.parametrize('kind, changes, message', [
    ('retinanet', dict(num_classes=4), 'number of classes of the student is'),
    ('gfl', dict(reg_max=8), "box code of the student is .*teacher 't'"),
    ('fcos', dict(type='ATSSHead'), 'student has a FCOSHead, but'),
])
def test_unlike_heads(kind, changes, message):
    own = build_network(detector(kind=kind), 'x')
    cfg = detector(kind='atss' if 'type' in changes else kind)
    cfg['model']['bbox_head'].update(changes)
    other = build_network(cfg, 'x')
    family = family_of(own)
    with pytest.raises(ConfigError, match=message):
        family.dense_head(own).check_same_code(family.dense_head(other), 't')


def test_heads_that_are_not_known():
    """Among them, subclasses that compute or assign differently."""
    with DefaultScope.overwrite_default_scope('mmdet'):
        for cfg in (dict(type='YOLOXHead', num_classes=3, in_channels=8),
                    dict(
                        type='FreeAnchorRetinaHead',
                        num_classes=3,
                        in_channels=8),
                    dict(type='RTMDetHead', num_classes=3, in_channels=8)):
            head = MODELS.build(cfg)
            assert dense_head_kind(head) is None
            with pytest.raises(
                    ConfigError, match=f'{cfg["type"]}.* RetinaHead, ATSS'):
                wrap_dense_head(head, 'the student')
    family = family_of(torch.nn.Conv2d(1, 1, 1))
    with pytest.raises(ConfigError, match='no dense head'):
        family.dense_head(torch.nn.Conv2d(1, 1, 1))
