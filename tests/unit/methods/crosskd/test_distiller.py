import pytest
import torch
import torch.nn.functional as F
from mmdet.structures.bbox import bbox_overlaps

from mmkd.core.batch import StepBatch
from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.methods.crosskd.distiller import PRESETS, CrossKD
from mmkd.testing import detection_batch, detector


def build(kind, teacher=None, options=None, convs=2, **student):
    torch.manual_seed(0)
    model = DistillationModel(
        detector(kind=kind, stacked_convs=convs, **student),
        dict(
            teacher=dict(
                cfg=teacher
                or detector(kind=kind, stacked_convs=convs, **student),
                ckpt='random')),
        dict(kd=dict(type='CrossKD', **(options or {}))),
        dry_run_size=(64, 64))
    for network in (model.student, model.teachers['teacher'].network):
        for module in network.bbox_head.modules():
            if isinstance(module, torch.nn.Conv2d):
                torch.nn.init.normal_(module.weight, std=0.1)
    return model


@pytest.fixture(scope='module', params=PRESETS)
def model(request):
    return build(request.param)


def run(model, **batch):
    """Tensors of the method, and its terms without weights."""
    data = model.prepare_batch(detection_batch(**batch), ['teacher'])
    step = model.planner.peak()
    losses, tensors, step_batch = model.run_networks(step, data)
    step_batch = step_batch.for_terms(frozenset(step.weights['kd']))
    distiller = model.distillers['kd']
    return (losses, tensors['kd'], step_batch,
            distiller.losses(*tensors['kd'], step_batch))


def kind_of(model):
    return {
        'RetinaHead': 'retinanet',
        'ATSSHead': 'atss',
        'GFLHead': 'gfl',
        'FCOSHead': 'fcos'
    }[type(model.student.bbox_head).__name__]


def by_row(x, size):
    return x.permute(0, 2, 3, 1).reshape(-1, size)


@torch.no_grad()
def expected(model, tensors, batch):
    """The formulas of the paper, with the layers of the head by hand."""
    (student, ), (teacher, ) = (x.values() for x in tensors)
    head = model.teachers['teacher'].network.bbox_head
    kind = type(head).__name__
    names = dict(
        RetinaHead=('retina_cls', 'retina_reg', None),
        ATSSHead=('atss_cls', 'atss_reg', 'atss_centerness'),
        GFLHead=('gfl_cls', 'gfl_reg', None),
        FCOSHead=('conv_cls', 'conv_reg', None))[kind]

    def outputs(cls, reg, level):
        cls = head.cls_convs[1](cls.relu())
        reg = head.reg_convs[1](reg.relu())
        box = getattr(head, names[1])(reg)
        if hasattr(head, 'scales'):
            box = head.scales[level](box)
        return (getattr(head, names[0])(cls),
                box.exp() if kind == 'FCOSHead' else box, names[2]
                and getattr(head, names[2])(reg))

    targets = batch.dense_targets(student[:5])
    total, confidence = dict.fromkeys(('cls', 'box', 'centerness'), 0.), 0.
    for level in range(5):
        moved = []
        for feat_s, feat_t in zip(student[level::5], teacher[level::5]):
            moved.append(
                feat_t.mean((0, 2, 3), True) +
                (feat_s - feat_s.mean((0, 2, 3), True)) /
                (feat_s.std((0, 2, 3), keepdim=True) + 1e-6) *
                feat_t.std((0, 2, 3), keepdim=True))
        cls_x, box_x, center_x = outputs(*moved, level)
        cls_t, box_t, center_t = outputs(*teacher[level::5], level)
        cls_x, cls_t = by_row(cls_x, 3), by_row(cls_t, 3).sigmoid()
        entropy = F.binary_cross_entropy_with_logits(
            cls_x, cls_t, reduction='none')
        weights = targets.label_weights[level]
        total['cls'] += (entropy * (cls_x.sigmoid() - cls_t).abs() *
                         weights[:, None]).sum()
        q = cls_t.max(1).values.where(weights > 0, 0.)
        confidence += q.sum()
        if kind == 'GFLHead':
            x, t = (
                by_row(x, 68).view(-1, 4, 17).softmax(-1)
                for x in (box_x, box_t))
            distance = (t * (t / x).log()).sum((1, 2))
        else:
            priors = targets.priors[level].repeat(2, 1)
            boxes = [
                head.bbox_coder.decode(priors, by_row(x, 4))
                for x in (box_x, box_t)
            ]
            if kind == 'FCOSHead':
                distance = -bbox_overlaps(
                    *boxes, is_aligned=True).clamp(min=1e-6).log()
            else:
                distance = 1 - bbox_overlaps(
                    *boxes, mode='giou', is_aligned=True, eps=1e-7)
        total['box'] += (q * distance).sum()
        if names[2]:
            total['centerness'] += F.binary_cross_entropy_with_logits(
                by_row(center_x, 1)[:, 0],
                by_row(center_t, 1)[:, 0].sigmoid(),
                reduction='none')[targets.positives[level]].sum()
    factor = sum(x.sum() for x in targets.positives)
    if kind == 'FCOSHead':
        wanted = torch.cat(targets.box_targets)[torch.cat(targets.positives)]
        factor = head.centerness_target(wanted).sum().clamp(min=1)
    found = {key: value / factor for key, value in total.items()}
    if kind == 'GFLHead':
        found['box'] = total['box'] / (4 * confidence)
    return {key: found[key] for key in model.distillers['kd'].weights}


def test_terms_are_those_of_the_paper(model):
    _, tensors, batch, terms = run(model)
    torch.testing.assert_close(terms, expected(model, tensors, batch))


def test_settled_options(model):
    """By the head; all but one of its two convolutions are the student's."""
    distiller = model.distillers['kd']
    kind = kind_of(model)
    assert distiller.student_convs == 1
    published = PRESETS[kind]
    assert distiller.peak_weights() == published['weights']
    assert CrossKD(preset=kind).student_convs == published['student_convs']
    assert CrossKD.settled_options(
        dict(dense_head=kind, head_convs=4),
        {})['student_convs'] == (2 if kind == 'fcos' else 3)


def test_gradients(model):
    """None for the student's layers behind the features and the teacher."""
    terms = run(model)[3]
    model.zero_grad()
    sum(terms.values()).backward()
    head = model.student.bbox_head
    for convs in (head.cls_convs, head.reg_convs):
        assert all(p.grad.any() for p in convs[0].parameters())
    begin = [*head.cls_convs[0].parameters(), *head.reg_convs[0].parameters()]
    for p in head.parameters():
        assert any(p is x for x in begin) or p.grad is None
    assert model.student.backbone.layer4[1].conv2.weight.grad.any()
    network = model.teachers['teacher'].network
    assert all(p.grad is None for p in network.parameters())
    model.zero_grad()


def test_the_head_assigns_once(model, monkeypatch):
    """A step reads the assignment of the student's own loss."""
    kind, calls = type(model.student.bbox_head), []
    assign = kind.get_targets

    def counted(self, *args, **kwargs):
        calls.append(self)
        return assign(self, *args, **kwargs)

    monkeypatch.setattr(kind, 'get_targets', counted)
    run(model)
    assert calls == [model.student.bbox_head]
    # Pictures stop before that loss.
    batch = model.prepare_batch(detection_batch(), ['teacher'])
    tensors, step_batch = model.observe(batch)
    visuals = model.distillers['kd'].visuals(*tensors['kd'], step_batch)
    assert len(calls) == 2 and len(visuals) == 10
    assert all(x.values.isfinite().all() for x in visuals)


def test_affine_changes_of_the_student(model):
    _, (student, teacher), batch, terms = run(model)
    place, = student
    scaled = {place: [3 * x - 5 for x in student[place]]}
    found = model.distillers['kd'].losses(scaled, teacher, batch)
    torch.testing.assert_close(found, terms, rtol=1e-3, atol=1e-5)


def test_equal_features(model):
    _, (student, teacher), batch, _ = run(model)
    found = model.distillers['kd'].losses(teacher, teacher, batch)
    center = found.pop('centerness', None)
    assert all(0 <= x < 1e-3 for x in found.values())
    # The cross entropy of centreness is the entropy of the target.
    assert center is None or center > 0


def test_without_objects(model):
    """Negatives are distilled as well. FCOS counts no image, and the released
    code divides by 1e-6."""
    terms = run(model, boxes=0)[3]
    assert terms['cls'] > 0 and terms['box'] > 0
    assert all(x.isfinite() for x in terms.values())
    if 'centerness' in terms:
        assert terms['centerness'] == 0 and terms['centerness'].requires_grad
    if kind_of(model) == 'fcos':
        distiller = model.distillers['kd']
        distiller.min_factor = 1e-6
        released = run(model, boxes=0)[3]
        distiller.min_factor = 1.0
        torch.testing.assert_close(
            released['cls'], 1e6 * terms['cls'], rtol=1e-4, atol=0)


def test_features_of_the_neck():
    """Without convolutions of the student."""
    model = build('gfl', options=dict(student_convs=0))
    terms = run(model)[3]
    sum(terms.values()).backward()
    assert all(p.grad is None for p in model.student.bbox_head.parameters())
    assert model.student.neck.fpn_convs[0].conv.weight.grad.any()


def test_teacher_of_another_width():
    wide = detector(8, channels=16, stacked_convs=2)
    with pytest.raises(ConfigError, match="8 channels .*takes 16; .*'auto'"):
        build('retinanet', wide)
    model = build('retinanet', wide, dict(connector='auto'))
    terms = run(model)[3]
    sum(terms.values()).backward()
    assert all(p.grad is not None for p in model.distillers.parameters())


@pytest.mark.parametrize('teacher, options, message', [
    (detector(kind='gfl', stacked_convs=2), {},
     'student has a RetinaHead, but teacher .* GFLHead'),
    (detector(num_classes=4, stacked_convs=2), {}, 'number of classes'),
    (None, dict(student_convs=3), 'no standard place for .dense_features_3'),
    (None, dict(student_convs=5), 'student_convs is 0 to 4'),
    (None, dict(beta=-1), 'beta is a number'),
    (None, dict(beta=0.5), 'beta is 0 or at least 1'),
    (None, dict(preset='yolox'), 'preset'),
    (None, dict(student='neck', teacher='neck'), 'leave the taps out'),
])
def test_what_it_refuses(teacher, options, message):
    with pytest.raises(ConfigError, match=message):
        build('retinanet', teacher, options)


def test_other_heads_are_refused():
    yolox = dict(
        default_scope='mmdet',
        model=dict(
            type='YOLOX',
            data_preprocessor=dict(type='DetDataPreprocessor'),
            backbone=dict(
                type='CSPDarknet', deepen_factor=0.1, widen_factor=0.125),
            neck=dict(
                type='YOLOXPAFPN', in_channels=[32, 64, 128], out_channels=8),
            bbox_head=dict(
                type='YOLOXHead',
                num_classes=3,
                in_channels=8,
                feat_channels=8),
            train_cfg=None,
            test_cfg=dict()))
    with pytest.raises(ConfigError, match='RetinaHead, ATSSHead, GFLHead or '):
        DistillationModel(
            yolox,
            dict(teacher=dict(cfg=yolox, ckpt='random')),
            dict(kd=dict(type='CrossKD')),
            dry_run_size=(64, 64))


def test_without_a_head():
    with pytest.raises(ConfigError, match='dense detection head'):
        StepBatch().dense_head()
