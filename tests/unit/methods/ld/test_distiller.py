import copy

import pytest
import torch

from mmkd.core.batch import StepBatch
from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.methods.ld.distiller import LD, Level
from mmkd.methods.ld.losses import imitated_cells
from mmkd.testing import detection_batch, detector


def build(kind='gfl', teacher=None, **options):
    torch.manual_seed(0)
    return DistillationModel(
        detector(kind=kind),
        dict(
            teacher=dict(
                cfg=teacher or detector(8, channels=16, kind=kind),
                ckpt='random')),
        dict(kd=dict(type='LD', **options)),
        dry_run_size=(64, 64))


@pytest.fixture(scope='module')
def model():
    return build()


def run(model, copies=1):
    data = detection_batch()
    data = {key: value * copies for key, value in data.items()}
    data['data_samples'] = copy.deepcopy(data['data_samples'])
    data = model.prepare_batch(data, ['teacher'])
    step = model.planner.peak()
    _, tensors, batch = model.run_networks(step, data)
    batch = batch.for_terms(frozenset(step.weights['kd']))
    return tensors['kd'], batch


def terms_of(model, tensors, batch):
    return model.distillers['kd'].losses(*tensors, batch)


def test_golden_level():
    """One level of 2 classes and 3 bins."""

    def edges(*values):
        return torch.tensor(values, dtype=torch.float64).repeat(1, 4)

    cls_s = torch.tensor([[1., 0], [0, 0], [0, 2]], dtype=torch.float64)
    positives = torch.tensor([True, False, True])
    level = Level(
        cls_s,
        torch.tensor([[2., 0], [0, 1], [0, 1]], dtype=torch.float64),
        edges([0., 1, 2], [1, 1, 1], [2, 1, 0]),
        edges([2., 1, 0], [0, 1, 2], [2, 1, 1]),
        main=cls_s.sigmoid().amax(1) * positives,
        region=torch.tensor([0, .5, .25], dtype=torch.float64),
        positives=positives,
        label_weights=torch.tensor([1., 1, 0], dtype=torch.float64))
    distiller = LD()
    found = distiller.level_losses(level)
    weights = distiller.peak_weights()
    wanted = dict(main=0.089009327, region=0.004025247, classes=0.263445860)
    for term, value in wanted.items():
        assert (weights[term] * found[term]).item() == pytest.approx(
            value, abs=1e-9)


def test_main_term_is_that_of_mmdet(model):
    """Its ``LDHead`` on the outputs of both heads."""
    tensors, batch = run(model)
    student, teacher = tensors
    cfg = copy.deepcopy(detector(kind='gfl')['model'])
    cfg['bbox_head'].update(
        type='LDHead',
        loss_ld=dict(
            type='KnowledgeDistillationKLDivLoss', loss_weight=0.25, T=10),
        train_cfg=cfg['train_cfg'])
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope
    with DefaultScope.overwrite_default_scope('mmdet'):
        head = MODELS.build(cfg['bbox_head'])
    samples = batch.data_samples
    losses = head.loss_by_feat(student['dense_logits'], student['dense_boxes'],
                               [x.gt_instances for x in samples],
                               [x.metainfo
                                for x in samples], teacher['dense_boxes'])
    found = terms_of(model, tensors, batch)['main'] * 0.25
    torch.testing.assert_close(found, sum(losses['loss_ld']))


def test_gradients_reach_the_boxes_and_classes(model):
    (student, teacher), batch = run(model)
    leaves = {
        role: [x.detach().requires_grad_() for x in levels]
        for role, levels in student.items()
    }
    terms = terms_of(model, (leaves, teacher), batch)
    for term, reached in (('main', 'dense_boxes'), ('region', 'dense_boxes'),
                          ('classes', 'dense_logits')):
        gradients = {
            role:
            torch.autograd.grad(
                terms[term], levels, retain_graph=True, allow_unused=True)
            for role, levels in leaves.items()
        }
        for role, found in gradients.items():
            some = any(g is not None and g.any() for g in found)
            assert some == (role == reached), (term, role)


def test_sums_grow_with_the_batch(model):
    once = terms_of(model, *run(model))
    twice = terms_of(model, *run(model, copies=2))
    # Batch statistics of equal halves are those of one.
    for term, factor in (('main', 2), ('region', 2), ('classes', 1)):
        torch.testing.assert_close(
            twice[term], factor * once[term], rtol=1e-3, atol=0)


def test_normalise(model):
    tensors, batch = run(model)
    plain = terms_of(model, tensors, batch)
    model.distillers['kd'].normalise = True
    found = terms_of(model, tensors, batch)
    model.distillers['kd'].normalise = False
    assert found['classes'] == plain['classes']
    ratio = found['main'] / plain['main']
    torch.testing.assert_close(ratio, found['region'] / plain['region'])
    levels = model.distillers['kd']._levels(*tensors, batch)
    torch.testing.assert_close(1 / ratio, sum(x.main.sum() for x in levels))


def test_released_region_differs(model):
    tensors, batch = run(model)
    plain = terms_of(model, tensors, batch)
    model.distillers['kd'].diou = 'released'
    found = terms_of(model, tensors, batch)
    model.distillers['kd'].diou = 'paper'
    assert found['main'] == plain['main']
    assert found['region'] != plain['region'] and found['region'] > 0


def test_pictures(model):
    tensors, batch = run(model)
    with torch.no_grad():
        visuals = model.distillers['kd'].visuals(*tensors, batch)
    assert len(visuals) == 15
    first = {x.name: x.values for x in visuals if x.group == 'level 0'}
    assert {x.shape for x in first.values()} == {(2, 8, 8)}
    assert first['main region'].any() and first['valuable region'].any()


@pytest.mark.parametrize('kind, teacher, message', [
    ('retinanet', None, 'LD works with the heads of gfl, but .*RetinaHead'),
    ('gfl', detector(kind='atss'), 'student has a GFLHead, but'),
    ('gfl', detector(kind='gfl', num_classes=4), 'number of classes'),
])
def test_other_heads(kind, teacher, message):
    with pytest.raises(ConfigError, match=message):
        build(kind, teacher)


@pytest.mark.parametrize('options, message', [
    (dict(tau=0), 'tau'),
    (dict(lower=2), 'lower is 0 to 1'),
    (dict(topk=0), 'topk is a number'),
    (dict(diou='code'), 'diou'),
])
def test_wrong_options(options, message):
    with pytest.raises(ConfigError, match=message):
        LD(**options)


def test_without_boxes(model):
    tensors, batch = run(model)
    with pytest.raises(ConfigError, match='needs boxes'):
        terms_of(
            model, tensors,
            StepBatch(
                batch.inputs, None, make_dense_head=batch.make_dense_head))


def test_imitation():
    model = build(
        teacher=detector(8, channels=8, kind='gfl'), imitation='finegrained')
    tensors, batch = run(model)
    found = terms_of(model, tensors, batch)
    student, teacher = (x['neck'] for x in tensors)
    targets = batch.dense_targets(tensors[0]['dense_logits'])
    cells = [
        imitated_cells(targets.priors, x.boxes, 'finegrained')
        for x in batch.instances
    ]
    wanted, begin = 0., 0
    for feat_s, feat_t, priors, positives in zip(student, teacher,
                                                 targets.priors,
                                                 targets.positives):
        own = torch.stack([x[begin:begin + len(priors)]
                           for x in cells]).flatten()
        begin += len(priors)
        if positives.any() and own.any():
            gap = (feat_s - feat_t).movedim(1, -1).flatten(0, 2)[own]
            wanted += gap.square().mean().item()
    assert wanted > 0
    assert found['imitation'].item() == pytest.approx(wanted, rel=1e-5)
    assert model.distillers['kd'].peak_weights()['imitation'] == 2


def test_imitation_needs_equal_necks():
    with pytest.raises(ConfigError, match='imitation compares the levels'):
        build(imitation='fitnet')
    with pytest.raises(ConfigError, match='imitation is one of finegrained'):
        LD(imitation='gibox')
