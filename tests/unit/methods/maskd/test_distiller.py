import copy

import pytest
import torch
import torch.nn.functional as F

from mmkd.core import (DistillationModel, Progress, RewritingModel, StepBatch,
                       TapSpec)
from mmkd.errors import CheckpointError, ConfigError, MismatchError
from mmkd.families.roi_heads import RoIFeatures
from mmkd.methods.maskd.distiller import MasKD
from mmkd.methods.maskd.losses import masked_distance, token_masks
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor)
from mmkd.testing.networks import cascade_detector, two_stage_detector


def maps(seed, channels=3):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, channels, 4, 5, generator=generator)


def specs(*places):
    return {
        role: [TapSpec(role, shape, kind=kind)]
        for role, shape, kind in places
    }


def built(kind='neck', preset='retinanet', **options):
    torch.manual_seed(0)
    options.update(masks='random', boxes='none', weights={}, preset=preset)
    distiller = MasKD(**options)
    place = specs(('maps', (1, 3, 4, 5), kind))
    distiller.setup(place, place)
    for tokens in distiller.tokens:
        tokens.tokens.normal_()
    return distiller


def feat_loss(distiller, feat_s, feat_t, at=0, length=100):
    batch = StepBatch(progress=Progress(at, length))
    return distiller(dict(maps=[feat_s]), dict(maps=[feat_t]), batch)['feat']


def test_masks_are_products_after_the_warm_up():
    distiller = built(warmup=10)
    feat_s, feat_t = maps(0), maps(1)
    tokens = distiller.tokens[0]
    own, masks = distiller.connectors[0](feat_s), tokens.masks(feat_t)
    weights = tokens.weights(feat_t)
    before = 7 * masked_distance(own, feat_t, masks, weights)
    after = 7 * masked_distance(
        own, feat_t, masks * token_masks(own, tokens.tokens), weights)
    for at, wanted in ((0, before), (9, before), (10, after), (99, after)):
        assert feat_loss(distiller, feat_s, feat_t, at).equal(wanted)
    # As a fraction of the run, whose length pictures do not know.
    distiller = built(warmup=.5)
    for at, length, wanted in ((49, 100, before), (50, 100, after), (50, None,
                                                                     before)):
        assert feat_loss(distiller, feat_s, feat_t, at, length).equal(wanted)


def test_no_gradient_through_masks():
    distiller = built(warmup=0)
    feat_s, feat_t = maps(0).requires_grad_(), maps(1)
    feat_loss(distiller, feat_s, feat_t).backward()
    found, feat_s.grad = feat_s.grad, None
    tokens = distiller.tokens[0]
    own = distiller.connectors[0](feat_s)
    masks = tokens.masks(feat_t) * tokens.masks(own).detach()
    (7 *
     masked_distance(own, feat_t, masks, tokens.weights(feat_t))).backward()
    torch.testing.assert_close(found, feat_s.grad)
    assert all(p.grad is None for p in distiller.tokens.parameters())


def test_segmentation():
    """Class scores as they are, 8 tokens without weights, and a half."""
    distiller = built('logits', preset='segmentation')
    feat_s, feat_t = maps(0), maps(1)
    tokens = distiller.tokens[0]
    assert tokens.tokens.shape == (8, 3)
    assert not [p for p in distiller.parameters() if p.requires_grad]
    wanted = .5 * masked_distance(feat_s, feat_t, tokens.masks(feat_t))
    for at in (0, 99):
        assert feat_loss(distiller, feat_s, feat_t, at).equal(wanted)


@pytest.mark.parametrize('kind, distance', [('l1', F.l1_loss),
                                            ('smooth_l1', F.smooth_l1_loss)])
def test_boxes_of_dense_heads(kind, distance):
    distiller = MasKD(
        masks='random',
        preset='retinanet',
        box_loss=kind,
        weights=dict(feat=0.))
    own, theirs = [maps(i, 8) for i in (0, 1)], [maps(i, 8) for i in (2, 3)]
    found = distiller(
        dict(maps=[], dense_boxes=own), dict(maps=[], dense_boxes=theirs),
        StepBatch())['boxes']
    torch.testing.assert_close(
        found, sum(distance(a, b) for a, b in zip(own, theirs)))


def roi_loss(own, theirs):
    distiller = MasKD(
        masks='random', preset='two_stage', weights=dict(feat=0.))
    distiller._teacher = 'teacher'
    batch = StepBatch()
    batch.shared('roi_features teacher', lambda: RoIFeatures(own, own, theirs))
    return distiller(dict(maps=[], roi_boxes=[own]), dict(maps=[]),
                     batch)['boxes']


def test_boxes_of_roi_heads():
    own, theirs = torch.randn(6, 12), 3 * torch.randn(6, 12)
    torch.testing.assert_close(
        roi_loss(own, theirs), F.smooth_l1_loss(own, theirs))
    none = torch.zeros(0, 12, requires_grad=True)
    assert roi_loss(none, none.detach()) == 0
    with pytest.raises(
            MismatchError,
            match=r'student \(6, 12\) and those of '
            r'the teacher \(6, 4\) differ; .*reg_class_agnostic'):
        roi_loss(own, theirs[:, :4])


def test_both_stages(tmp_path):
    """Tokens of a teacher serve this teacher, also folded, and no other."""
    torch.manual_seed(0)
    teacher, path = segmentor(8), str(tmp_path / 'teacher.pth')
    first = RewritingModel(
        dict(cfg=teacher, ckpt='random'), dict(type='ReceptiveTokens'),
        (32, 64))
    torch.save(dict(state_dict=first.teacher.network.state_dict()), path)
    masks = str(tmp_path / 'tokens.pth')
    torch.save(dict(state_dict=first.state_dict()), masks)

    def second(ckpt):
        return DistillationModel(
            segmentor(4), dict(teacher=dict(cfg=teacher, ckpt=ckpt)),
            dict(kd=dict(type='MasKD', masks=masks)), (32, 64)).train()

    model = second(path)
    # Those of an older run do not replace them.
    model.load_state_dict({
        key: value * 0 if '.tokens.' in key else value
        for key, value in model.state_dict().items()
    })
    assert model.distillers['kd'].tokens[0].tokens.equal(
        first.rewriter.levels[0].tokens)
    assert model.teachers['teacher'].changes  # folded
    data = model.data_preprocessor(segmentation_batch(), True)
    torch.manual_seed(1)  # of dropout
    losses = model(**data, mode='loss')
    torch.manual_seed(1)
    tensors = model.run_networks(model.planner.now(),
                                 copy.deepcopy(data))[1]['kd']
    feat_s, feat_t = (side['maps'][0] for side in tensors)
    torch.testing.assert_close(
        losses['kd.loss_feat'], .5 * masked_distance(
            feat_s, feat_t, model.distillers['kd'].tokens[0].masks(feat_t)))
    with pytest.raises(CheckpointError, match='learned on other weights'):
        second('random')


def test_pictures():
    distiller = built(warmup=0)
    batch = StepBatch(progress=Progress(1, 10))
    found = distiller.visuals(
        dict(maps=[maps(0)]), dict(maps=[maps(1)]), batch)
    assert [x.name for x in found] == [
        *(f'mask {k}' for k in range(6)), 'distance of the features'
    ]
    assert all(x.values.shape == (2, 4, 5) for x in found)


def test_the_student_settles_the_preset():
    for student, wanted in ((dict(num_classes=19), 'segmentation'),
                            (dict(two_stage=False,
                                  dense_head='retinanet'), 'retinanet'),
                            (dict(two_stage=False,
                                  dense_head='fcos'), 'one_stage'),
                            (dict(two_stage=False), 'one_stage')):
        assert MasKD.settled_options(student, {}) == dict(preset=wanted)
    # Of a 3D detector, nothing: MasKD asks for the preset.
    assert MasKD.settled_options(dict(sensors='lidar'), {}) == {}


@pytest.mark.parametrize('student, teacher, boxes', [
    ('', '', 'rois'),
    ('cascade', 'cascade', 'none'),
    ('cascade', '', 'none'),
    ('', 'cascade', 'rois'),
    ('', 'agnostic cascade', 'none'),
    ('agnostic', 'agnostic cascade', 'rois'),
])
def test_boxes_of_cascades(student, teacher, boxes):
    size = (64, 64)
    model = DistillationModel(
        two_stage(student, 4),
        dict(teacher=dict(cfg=two_stage(teacher, 8), ckpt='random')),
        dict(kd=dict(type='MasKD', masks='random')), size).train()
    assert model.distillers['kd'].boxes == boxes
    losses = model(
        **model.data_preprocessor(detection_batch(size=size), True),
        mode='loss')
    found = {key for key in losses if key.startswith('kd.loss')}
    assert found == {'kd.loss_feat'
                     } | ({'kd.loss_boxes'} if boxes == 'rois' else set())


def two_stage(kind, width):
    cfg = cascade_detector(width) if 'cascade' in kind else two_stage_detector(
        width)
    heads = cfg['model']['roi_head']['bbox_head']
    for head in heads if isinstance(heads, list) else [heads]:
        head['reg_class_agnostic'] = 'agnostic' in kind
    return cfg


@pytest.mark.parametrize('options, message', [
    (dict(), 'MasKD needs `masks`, the checkpoint of the tokens'),
    (dict(masks='x', preset='fcos'), 'preset is one of retinanet, two_stage'),
    (dict(masks='x'), 'no published settings for this student; give `preset`'),
    (dict(masks='x', preset='one_stage',
          boxes='all'), "boxes is one of dense, rois, none"),
    (dict(masks='x', preset='one_stage', box_loss='l2'), 'box_loss'),
    (dict(masks='x', preset='one_stage',
          warmup=1.5), 'MasKD, warmup: begin=1.5'),
])
def test_options(options, message):
    with pytest.raises(ConfigError, match=message):
        MasKD(**options)


def test_networks_that_do_not_match():

    def model(student, teacher, **options):
        return DistillationModel(
            student, dict(teacher=dict(cfg=teacher, ckpt='random')),
            dict(kd=dict(type='MasKD', masks='random', **options)), (64, 64))

    with pytest.raises(MismatchError, match='19 channels and the teacher 7'):
        model(segmentor(), segmentor(num_classes=7))
    with pytest.raises(MismatchError, match='works with the heads of'):
        model(detector(kind='atss'), detector(kind='atss'), preset='retinanet')
