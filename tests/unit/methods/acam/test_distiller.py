import copy
import logging

import pytest
import torch
from mmengine.config import ConfigDict
from torch import nn

from mmkd.core.batch import StepBatch
from mmkd.core.model import DistillationModel
from mmkd.core.schedule import Progress
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.acam.distiller import ACAM
from mmkd.methods.acam.losses import (channel_mask_loss, channel_masks,
                                      mask_diversity, spatial_mask_loss,
                                      spatial_masks)
from mmkd.methods.acam.modules import FeatureFusion
from mmkd.registry import DISTILLERS
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor)
from mmkd.utils.config import read_config

SPATIAL, CHANNEL, DIV = TERMS = ('spatial', 'channel', 'div')


def run(harness, student, teacher, **kwargs):
    """The distiller of neck levels and its terms."""
    distiller = ACAM(place='neck', **kwargs)
    return distiller, harness.run(distiller, student, teacher, role='neck')


def again(distiller, student, teacher, progress=Progress()):
    return distiller({distiller.place: student}, {distiller.place: teacher},
                     StepBatch(progress=progress))


def masks_of(distiller, student, teacher):
    return distiller.masks({distiller.place: student},
                           {distiller.place: teacher})


def set_units(distiller, value=None):
    """Give the selection units one value, or a large random one."""
    for name, parameter in distiller.named_parameters():
        if 'units' in name:
            with torch.no_grad():
                parameter.normal_() if value is None else parameter.fill_(
                    value)


# ----------------------------------------------------------------- the masks


def test_shapes(harness, tensors):
    student, teacher = tensors(2, 4, 5, 6, teacher_shape=(2, 8, 9, 7))
    distiller, losses = run(harness, [student], [teacher])
    masks, = masks_of(distiller, [student], [teacher])
    assert masks.spatial.shape == (2, 6, 9, 7)
    assert masks.channel.shape == (2, 6, 8)
    fusion = distiller.levels[0].fusion
    assert fusion(teacher, student).shape == (2, 8, 9, 7)
    assert fusion.query.weight.shape == (4, 8, 1, 1)
    assert fusion.key.weight.shape == (4, 4, 1, 1)
    assert fusion.value.weight.shape == (8, 4, 1, 1)
    assert all(conv.bias is None for conv in fusion.children())
    for kind in masks:
        assert ((kind > 0) & (kind < 1)).all()
        assert not kind.requires_grad
    assert all(loss.shape == () for loss in losses.values())


def test_initialisation():
    torch.manual_seed(0)
    distiller = ACAM(place='neck', num_masks=50, channel_units='full')
    specs = dict(neck=[TapSpec('neck', (1, 40, 2, 2))])
    distiller.setup(specs, specs)
    level, = distiller.levels
    for units in (level.spatial_units, level.channel_units):
        assert units.shape == (50, 40)
        assert units.std().item() == pytest.approx(0.01, rel=0.1)
        assert abs(units.mean().item()) < 1e-3
    assert isinstance(distiller.connectors[0], nn.Identity)


def test_units_of_zero(harness, tensors):
    """All masks are one half."""
    student, teacher = tensors(2, 8, 5, 6)
    for reduction, overlap in (('pairwise_mean', 1), ('ratio', 5)):
        distiller, _ = run(
            harness, [student], [teacher], div_reduction=reduction)
        set_units(distiller, 0.0)
        masks, = masks_of(distiller, [student], [teacher])
        assert all((kind == 0.5).all() for kind in masks)
        losses = again(distiller, [student], [teacher])
        half = 0.5 * (teacher - student).square().mean()
        assert torch.allclose(losses[SPATIAL], half)
        assert torch.allclose(losses[CHANNEL], half)
        # One value for the masks over cells, one for those over channels.
        assert losses[DIV].item() == pytest.approx(2 * overlap)


def test_it_is_the_formulas(harness, tensors):
    student, teacher = tensors(2, 6, 4, 5)
    distiller, _ = run(
        harness, [student], [teacher],
        weights=dict(spatial=2.0, channel=2.0, div=0.5))
    set_units(distiller)
    losses = again(distiller, [student], [teacher])
    level, = distiller.levels
    query, key, value = (conv(feat).flatten(2)
                         for conv, feat in zip(level.fusion.children(), (
                             teacher, student, student)))
    attention = torch.softmax(query.transpose(1, 2) @ key / 3**0.5, dim=2)
    fused = (value @ attention.transpose(1, 2)).reshape(2, 6, 4, 5)
    spatial = spatial_masks(fused, level.spatial_units)
    channel = channel_masks(fused, level.channel_units)
    expected = {
        SPATIAL: 2 * spatial_mask_loss(student, teacher, spatial),
        CHANNEL: 2 * channel_mask_loss(student, teacher, channel),
        DIV: 0.5 * (mask_diversity(spatial) + mask_diversity(channel))
    }
    for term in TERMS:
        assert torch.allclose(losses[term], expected[term], rtol=1e-4), term


def test_levels_are_summed(harness, tensors):
    pairs = [
        tensors(2, 4, 8, 8, teacher_shape=(2, 6, 8, 8)),
        tensors(2, 5, 4, 3, seed=1)
    ]
    students, teachers = map(list, zip(*pairs))
    distiller, losses = run(
        harness, students, teachers, level_weights=(1, 0.4))
    assert isinstance(distiller.connectors[0].conv, nn.Conv2d)
    assert isinstance(distiller.connectors[1], nn.Identity)
    total = dict.fromkeys(TERMS, 0)
    for i, weight in enumerate((1, 0.4)):
        one = copy.deepcopy(distiller)
        one.connectors = one.connectors[i:i + 1]
        one.levels = one.levels[i:i + 1]
        one.level_weights = [weight]
        found = again(one, students[i:i + 1], teachers[i:i + 1])
        total = {term: total[term] + found[term] for term in TERMS}
    for term in TERMS:
        assert torch.allclose(losses[term], total[term])


# ----------------------------------------------------------------- invariants


def test_order_of_cells(harness, tensors):
    student, teacher = tensors(2, 8, 5, 6)
    distiller, _ = run(harness, [student], [teacher])
    set_units(distiller)
    order = torch.randperm(30)

    def shuffled(feat):
        return feat.flatten(2)[..., order].reshape(feat.shape)

    masks, = masks_of(distiller, [student], [teacher])
    alone, = masks_of(distiller, [shuffled(student)], [teacher])
    for ours, theirs in zip(masks, alone):
        assert torch.allclose(ours, theirs, atol=1e-5)
    both, = masks_of(distiller, [shuffled(student)], [shuffled(teacher)])
    assert torch.allclose(both.spatial, shuffled(masks.spatial), atol=1e-5)
    assert torch.allclose(both.channel, masks.channel, atol=1e-5)
    losses = again(distiller, [student], [teacher])
    moved = again(distiller, [shuffled(student)], [shuffled(teacher)])
    for term in TERMS:
        assert torch.allclose(losses[term], moved[term], rtol=1e-4)


def test_constant_student(harness, tensors):
    _, teacher = tensors(2, 8, 5, 6)
    student = torch.randn(2, 8, 1, 1).expand(2, 8, 5, 6)
    distiller, _ = run(harness, [student], [teacher])
    set_units(distiller)
    masks, = masks_of(distiller, [student], [teacher])
    assert masks.spatial.flatten(2).std(2).max() < 1e-6


def test_batch_is_the_mean_of_its_images(harness, tensors):
    student, teacher = tensors(3, 8, 5, 6)
    distiller, _ = run(harness, [student], [teacher])
    set_units(distiller)
    whole = again(distiller, [student], [teacher])
    single = [
        again(distiller, [student[i:i + 1]], [teacher[i:i + 1]])
        for i in range(3)
    ]
    for term in TERMS:
        mean = sum(losses[term] for losses in single) / 3
        assert torch.allclose(whole[term], mean, rtol=1e-5)


def test_order_of_units(harness, tensors):
    student, teacher = tensors(2, 8, 5, 6)
    distiller, _ = run(harness, [student], [teacher])
    set_units(distiller)
    losses = again(distiller, [student], [teacher])
    level, = distiller.levels
    with torch.no_grad():
        for units in (level.spatial_units, level.channel_units):
            units.copy_(units[torch.randperm(6)])
    moved = again(distiller, [student], [teacher])
    for term in TERMS:
        assert torch.allclose(losses[term], moved[term], rtol=1e-5)


def test_one_mask_one_cell_one_image(harness, tensors):
    student, teacher = tensors(1, 8, 1, 1)
    for stabilise in (False, True):
        distiller, losses = run(
            harness, [student], [teacher], num_masks=1, stabilise=stabilise)
        assert losses[DIV] == 0
        sum(losses[term] for term in TERMS).backward()
        assert all(p.grad.isfinite().all() for p in distiller.parameters())


# ------------------------------------------------------------------ gradients


@pytest.mark.parametrize('channels', [8, 5])
def test_who_gets_a_gradient(harness, tensors, channels):
    student, teacher = tensors(2, 5, 4, 6, teacher_shape=(2, channels, 4, 6))
    teacher.requires_grad_()
    distiller, losses = run(harness, [student], [teacher])
    parameters = dict(distiller.named_parameters())
    for term in TERMS:
        grads = dict(
            zip((*parameters, 'student', 'teacher'),
                torch.autograd.grad(
                    losses[term], (*parameters.values(), student, teacher),
                    retain_graph=True,
                    allow_unused=True)))
        assert grads.pop('teacher') is None
        for name, grad in grads.items():
            fed = name.startswith('levels') if term == DIV else True
            if 'spatial_units' in name:
                fed = term != CHANNEL
            if 'channel_units' in name:
                fed = term != SPATIAL
            assert (grad is not None
                    and grad.abs().sum() > 0) == fed, (term, name)


def test_gradient_of_the_student_is_that_of_fixed_masks(harness, tensors):
    student, teacher = tensors(2, 8, 5, 6)
    distiller, _ = run(harness, [student], [teacher])
    set_units(distiller)
    losses = again(distiller, [student], [teacher])
    masks, = masks_of(distiller, [student], [teacher])
    fixed = spatial_mask_loss(student, teacher,
                              masks.spatial) + channel_mask_loss(
                                  student, teacher, masks.channel)
    found, = torch.autograd.grad(
        sum(losses[term] for term in TERMS), student, retain_graph=True)
    expected, = torch.autograd.grad(fixed, student)
    assert torch.allclose(found, expected, atol=1e-7)
    through, = torch.autograd.grad(
        again(copy_with(distiller, detach_inputs=False), [student],
              [teacher])[DIV], student)
    assert through.abs().sum() > 0


def copy_with(distiller, **attributes):
    """A copy whose levels have other switches."""
    distiller = copy.deepcopy(distiller)
    for level in distiller.levels:
        for name, value in attributes.items():
            setattr(level, name, value)
    return distiller


def test_masks_learn_from_the_diversity_alone(harness, tensors):
    student, teacher = tensors(2, 8, 5, 6)
    distiller, losses = run(
        harness, [student], [teacher], mask_grad='div_only')
    units = distiller.levels[0].spatial_units
    assert torch.autograd.grad(
        losses[SPATIAL], units, retain_graph=True,
        allow_unused=True)[0] is None
    assert torch.autograd.grad(losses[DIV], units)[0].abs().sum() > 0
    # Without it nothing trains them, yet all are in the graph, for DDP.
    distiller, losses = run(
        harness, [student], [teacher],
        mask_grad='div_only',
        weights=dict(div=0))
    assert losses[DIV] == 0
    reached = graph_of(sum(losses[term] for term in TERMS))
    assert all(p in reached for p in distiller.parameters())


def graph_of(loss):
    """The leaves behind a loss."""
    leaves, stack, seen = set(), [loss.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, 'variable'):
            leaves.add(node.variable)
        stack += [following for following, _ in node.next_functions]
    return leaves


# -------------------------------------------------------------------- options


def test_sizes_and_strides(harness, tensors):
    """The difference is taken on the teacher's grid."""
    student, teacher = tensors(2, 8, 4, 5, teacher_shape=(2, 8, 8, 10))
    distiller, _ = run(harness, [student], [teacher])
    set_units(distiller, 0.0)
    losses = again(distiller, [student], [teacher])
    resized = nn.functional.interpolate(
        student, (8, 10), mode='bilinear', align_corners=False)
    expected = 0.5 * (teacher - resized).square().mean()
    assert torch.allclose(losses[SPATIAL], expected)
    assert torch.allclose(losses[CHANNEL], expected)


def test_query_of_the_student(harness, tensors):
    student, teacher = tensors(2, 4, 4, 5, teacher_shape=(2, 8, 8, 10))
    distiller, losses = run(harness, [student], [teacher], query='student')
    fusion = distiller.levels[0].fusion
    assert fusion.query.in_channels == 4 and fusion.key.in_channels == 8
    masks, = masks_of(distiller, [student], [teacher])
    assert masks.spatial.shape == (2, 6, 8, 10)
    assert all(losses[term].isfinite() for term in TERMS)


@pytest.mark.parametrize('source', ['teacher', 'teacher_fixed'])
def test_masks_of_the_teacher(harness, tensors, source):
    student, teacher = tensors(2, 8, 5, 6)
    distiller, losses = run(harness, [student], [teacher], mask_source=source)
    level, = distiller.levels
    assert level.fusion is None
    other = torch.randn(2, 8, 5, 6)
    for ours, theirs in zip(
            masks_of(distiller, [student], [teacher])[0],
            masks_of(distiller, [other], [teacher])[0]):
        assert torch.equal(ours, theirs)
    assert (DIV in losses) == (source == 'teacher')
    assert level.spatial_units.requires_grad == (source == 'teacher')


def test_one_kind_of_masks(harness, tensors):
    student, teacher = tensors(2, 8, 5, 6)
    for switch, term, missing in (('use_channel', SPATIAL, CHANNEL),
                                  ('use_spatial', CHANNEL, SPATIAL)):
        distiller, losses = run(harness, [student], [teacher],
                                **{switch: False})
        assert term in losses and missing not in losses
        assert 'mask_dead_0' in losses
        kept = [name for name, _ in distiller.named_parameters()]
        assert sum('units' in name for name in kept) == 1
        sum(losses[term] for term in distiller.weights).backward()
        assert all(p.grad is not None for p in distiller.parameters())


def test_pooled_keys(harness, tensors, monkeypatch):
    said = []
    monkeypatch.setattr('mmkd.methods.acam.modules.print_log',
                        lambda text, *_: said.append(text))
    fusion = FeatureFusion(4, 4, 4, max_kv=9)
    student, teacher = tensors(1, 4, 7, 6)
    # 7x6 by 2 is 4x3, too many; by 3 it is 3x2.
    pooled = fusion._pool(student)
    assert pooled.shape == (1, 4, 3, 2)
    assert torch.allclose(pooled[..., 0, 0], student[..., :3, :3].mean((2, 3)))
    assert torch.allclose(pooled[..., 2, 1], student[..., 6:, 3:].mean((2, 3)))
    assert fusion(teacher, student).shape == (1, 4, 7, 6)
    assert len(said) == 1 and 'approximate' in said[0]
    exact = FeatureFusion(4, 4, 4, max_kv=42)
    assert exact._pool(student) is student


def test_class_maps(harness, tensors):
    student, teacher = tensors(2, 19, 4, 5)
    distiller = ACAM(place='logits')
    losses = harness.run(distiller, [student], [teacher])
    level, = distiller.levels
    assert level.spatial_units.shape == (19, 19)
    assert level.fusion.query.out_channels == 9
    assert isinstance(distiller.connectors[0], nn.Identity)
    assert all(losses[term].isfinite() for term in TERMS)
    student, teacher = tensors(2, 19, 4, 5, teacher_shape=(2, 18, 4, 5))
    with pytest.raises(ConfigError, match='class by class'):
        harness.set_up(ACAM(place='logits'), [student], [teacher])


def test_class_maps_are_known_by_their_kind():
    """Features, such as those before a classifier, may differ in channels."""

    def set_up(kind):
        distiller = ACAM(student='x', teacher='x')
        distiller.setup({'maps': [TapSpec('x', (2, 4, 5, 6), kind=kind)]},
                        {'maps': [TapSpec('x', (2, 8, 5, 6), kind=kind)]})
        return distiller

    for kind in (None, 'neck'):
        distiller = set_up(kind)
        assert distiller.levels[0].spatial_units.shape == (6, 8)
        assert not isinstance(distiller.connectors[0], nn.Identity)
    for kind in ('logits', 'auxiliary_logits'):
        with pytest.raises(ConfigError, match='class by class'):
            set_up(kind)


def test_bev_maps(harness, tensors):
    """A list of one wide map, as of a pillar network's neck."""
    student, teacher = tensors(1, 12, 16, 24, teacher_shape=(1, 24, 16, 24))
    distiller, losses = run(
        harness, [student], [teacher], max_kv=100, num_masks=6)
    sum(losses[term] for term in TERMS).backward()
    assert student.grad.abs().sum() > 0


def test_the_preset(harness, tensors):
    """Masks vary over the cells and stay apart, on small features too."""
    for scale in (1.0, 0.1):
        student, teacher = tensors(2, 16, 8, 10, scale=scale)
        literal, losses = run(harness, [student], [teacher])
        assert losses['mask_std_0'] < 0.01
        distiller, losses = run(harness, [student], [teacher], stabilise=True)
        options = distiller.options
        assert options.standardised and options.added == 'both'
        set_units(distiller)
        losses = again(distiller, [student], [teacher])
        assert losses['mask_std_0'] > 0.2 and losses['mask_dead_0'] == 0
        # Both maps are in it, without a gradient.
        losses[DIV].backward()
        assert student.grad is None
        fixed, = masks_of(distiller, [student], [teacher])
        moved, = masks_of(distiller, [2 * student.flip(3)], [teacher])
        assert not torch.allclose(fixed.spatial, moved.spatial, atol=0.05)


def test_the_preset_prevents_collapse(harness, tensors):
    """Random maps, as in the trial that the page of the method tells of."""
    student, teacher = tensors(2, 32, 8, 10, scale=1.0)
    student = student.detach()
    found = {}
    for stabilise in (False, True):
        torch.manual_seed(0)
        distiller, _ = run(harness, [student], [teacher], stabilise=stabilise)
        optimizer = torch.optim.SGD(distiller.parameters(), 0.1, momentum=0.9)
        for _ in range(150):
            losses = again(distiller, [student], [teacher])
            optimizer.zero_grad()
            sum(losses[term] for term in TERMS).backward()
            optimizer.step()
        found[stabilise] = [
            losses[f'mask_{name}_0'].item() for name in ('mean', 'std', 'dead')
        ]
    mean, std, dead = found[False]
    assert mean < 0.02 and std < 0.02 and dead == 1
    mean, std, dead = found[True]
    assert 0.4 < mean < 0.6 and std > 0.1 and dead == 0


# ------------------------------------------------------------------ the log


def test_figures(harness, tensors):
    student, teacher = tensors(2, 8, 5, 6)
    distiller, losses = run(harness, [student, student], [teacher, teacher])
    figures = {k: v for k, v in losses.items() if k not in TERMS}
    assert set(figures) == {
        f'mask_{name}_{i}'
        for name in ('mean', 'std', 'dead')
        for i in range(2)
    }
    assert not any(value.requires_grad for value in figures.values())
    assert figures['mask_mean_0'].item() == pytest.approx(0.5, abs=0.05)
    assert figures['mask_dead_0'] == 0


def test_collapse_is_said_once(harness, tensors, monkeypatch):
    said = []
    monkeypatch.setattr('mmkd.methods.acam.distiller.print_log',
                        lambda text, logger, level: said.append((text, level)))
    student, teacher = tensors(2, 8, 5, 6)
    distiller, _ = run(harness, [student], [teacher], warn_after=10)
    for iteration in (0, 9):
        again(distiller, [student], [teacher], Progress(iteration))
    assert not said
    for iteration in (10, 11):
        again(distiller, [student], [teacher], Progress(iteration))
    (text, level), = said
    assert level == logging.WARNING
    assert 'iteration 10' in text and 'stabilise=True' in text
    assert 'the same over all cells' in text
    # Most units are dead, though one still varies.
    distiller, _ = run(harness, [student], [teacher], mask_source='teacher')
    distiller.warn_after = 0
    set_units(distiller)
    again(distiller, [student], [teacher])
    assert len(said) == 1
    with torch.no_grad():
        distiller.levels[0].spatial_units[:5] = 0
        distiller.levels[0].spatial_units[:5, 0] = 1
    teacher[:, 0] = 10
    again(distiller, [student], [teacher])
    assert len(said) == 2 and '83% of the units' in said[1][0]


def test_figures_are_no_losses():
    # Nor where the name of the distiller would make mmengine sum them.
    model = build(detector(4), detector(8, channels=12), name='my_loss')
    losses = losses_of(model, detection_batch())
    total, log = model.parse_losses(losses)
    summed = sum(
        value.mean() if isinstance(value, torch.Tensor) else sum(value)
        for name, value in losses.items() if 'loss' in name)
    assert torch.allclose(total, summed)
    assert 'my_cost.mask_std_4' in log and 'my_loss.loss_div' in log
    assert sum(losses[k] for k in losses if 'my_loss' in k) < total


# ---------------------------------------------------------- mixed precision


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('stabilise', [False, True])
def test_mixed_precision(harness, tensors, dtype, stabilise):
    student, teacher = tensors(
        2, 4, 8, 8, teacher_shape=(2, 6, 8, 8), scale=30.0)
    student = student.detach().to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype):
        _, losses = run(
            harness, [student], [teacher.to(dtype)], stabilise=stabilise)
    for term in TERMS:
        assert losses[term].dtype == torch.float32
        assert losses[term].isfinite()
    sum(losses[term] for term in TERMS).backward()
    assert student.grad.isfinite().all()


# -------------------------------------------------------------------- errors


@pytest.mark.parametrize('arguments, message', [
    (dict(place='head'), 'place is one of'),
    (dict(weights=dict(div=-1)), 'at least 0'),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ACAM(**arguments)


def test_what_does_not_fit_is_refused(harness, tensors):
    student, teacher = tensors(2, 8, 5, 6)
    with pytest.raises(ConfigError, match='1 level'):
        run(harness, [student], [teacher, teacher])
    with pytest.raises(ConfigError, match='level_weights'):
        run(harness, [student], [teacher], level_weights=(1, 2))
    with pytest.raises(ConfigError, match=r'maps \(N, C, H, W\)'):
        run(harness, [student.flatten(2)], [teacher.flatten(2)])
    with pytest.raises(ConfigError, match='no connector'):
        harness.set_up(
            ACAM(place='logits', connector=dict(type='ConvConnector')),
            [student], [teacher])
    student, teacher = tensors(2, 8, 5, 6, teacher_shape=(2, 6, 5, 6))
    with pytest.raises(ConfigError, match='8 channels'):
        run(harness, [student], [teacher], connector=None)


def test_is_registered():
    distiller = DISTILLERS.build(dict(type='ACAM', student='neck[0:4]'))
    assert isinstance(distiller, ACAM)
    assert list(distiller.student_taps) == ['maps']
    assert distiller.term_weights(Progress()) == dict.fromkeys(TERMS, 1.0)


# ------------------------------------------------------------- whole models


def build(small, large, name='acam', mode='tensor', **kwargs):
    return DistillationModel(
        small,
        dict(teacher=dict(cfg=large, ckpt='random', mode=mode)), {
            name: dict(type='ACAM', **kwargs)
        },
        dry_run_size=(64, 64)).train()


def losses_of(model, batch):
    return model(**model.data_preprocessor(batch, True), mode='loss')


def fcos(width=4, channels=8):
    """A small anchor-free detector."""
    config = detector(width, channels=channels)
    config['model'].update(
        type='FCOS',
        bbox_head=dict(
            type='FCOSHead',
            num_classes=3,
            in_channels=channels,
            stacked_convs=1,
            feat_channels=channels,
            norm_cfg=None,
            strides=[8, 16, 32, 64, 128]),
        train_cfg=None)
    return config


def faster_rcnn(width=4, channels=8):
    """A small two-stage detector with the settings of mmdet's own."""
    config = read_config('mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py')
    thin = ConfigDict(detector(width, channels=channels)['model'])
    config.merge_from_dict(
        dict(
            model=dict(
                neck=dict(in_channels=thin.neck.in_channels),
                train_cfg=dict(rpn_proposal=dict(nms_pre=50, max_per_img=20)),
                rpn_head=dict(in_channels=channels, feat_channels=channels),
                roi_head=dict(
                    bbox_roi_extractor=dict(out_channels=channels),
                    bbox_head=dict(
                        in_channels=channels,
                        fc_out_channels=16,
                        num_classes=3)))))
    config.model.neck.out_channels = channels
    config.model.backbone = thin.backbone
    return config


def deformable_detr(width=4, channels=16):
    """A small transformer detector on four levels."""
    config = read_config(
        'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py')
    attention = dict(embed_dims=channels)
    layer = dict(
        self_attn_cfg=attention,
        ffn_cfg=dict(embed_dims=channels, feedforward_channels=16))
    config.merge_from_dict(
        dict(
            model=dict(
                num_queries=10,
                neck=dict(
                    in_channels=[width * 2**i for i in (1, 2, 3)],
                    out_channels=channels,
                    norm_cfg=dict(num_groups=4)),
                encoder=dict(num_layers=1, layer_cfg=layer),
                decoder=dict(
                    num_layers=1,
                    layer_cfg=dict(cross_attn_cfg=attention, **layer)),
                positional_encoding=dict(num_feats=channels // 2),
                bbox_head=dict(num_classes=3, embed_dims=channels))))
    config.model.backbone = ConfigDict(
        detector(width)['model']['backbone'], out_indices=(1, 2, 3))
    return config


@pytest.mark.parametrize('make, levels', [(detector, 5), (fcos, 5),
                                          (faster_rcnn, 5),
                                          (deformable_detr, 4)])
@pytest.mark.parametrize('boxes', [2, 0])
def test_detectors(make, levels, boxes):
    model = build(make(4), make(8, channels=24))
    # As a runner does, and a checkpoint: until then Deformable DETR's level
    # embedding is whatever was in memory.
    model.student.init_weights()
    model.teachers['teacher'].network.init_weights()
    assert len(model.distillers['acam'].levels) == levels
    losses = losses_of(model, detection_batch(num_images=1, boxes=boxes))
    total, _ = model.parse_losses(losses)
    assert total.isfinite()
    total.backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().sum() >= 0
               for p in model.distillers.parameters())
    stem = next(p for p in model.student.backbone.parameters())
    assert stem.grad.abs().sum() > 0
    teacher = model.teachers['teacher'].network
    assert all(p.grad is None and not p.requires_grad
               for p in teacher.parameters())
    plain = make(4)
    plain = DistillationModel(plain, {}, {}, dry_run_size=(64, 64)).student
    assert set(plain.state_dict()) == {
        key
        for key in model.state_dict() if not key.startswith('distill.')
    }


def test_segmentor():
    model = build(segmentor(4), segmentor(8), stabilise=True)
    taps = model.taps.student['acam']['maps']
    assert [tap.path for tap in taps] == ['decode_head.conv_seg']
    level, = model.distillers['acam'].levels
    assert level.spatial_units.shape == (19, 19)
    # Most classes are absent from these two pictures.
    batch = segmentation_batch(num_images=2, num_classes=2)
    losses = losses_of(model, batch)
    total, _ = model.parse_losses(losses)
    total.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_auxiliary_head():
    heads = ['decode_head.conv_seg', 'auxiliary_head.conv_seg']
    taps = dict(student=heads, teacher=heads)
    model = build(
        segmentor(4, auxiliary=True),
        segmentor(8, auxiliary=True),
        mode='loss',
        level_weights=(1, 0.4),
        **taps)
    assert len(model.distillers['acam'].levels) == 2
    losses = losses_of(model, segmentation_batch())
    assert losses['acam.loss_spatial'] > 0


def test_exported_student_has_nothing_of_it(tmp_path, cityscapes):
    from mmkd import apis
    from mmkd.testing import distillation_config, segmentation_config
    cfg = distillation_config(
        segmentation_config(cityscapes, str(tmp_path), max_iters=2),
        dict(acam=dict(type='ACAM', warn_after=1)))
    cfg.log_level = 'INFO'
    runner = apis.train(cfg)
    saved = torch.load(tmp_path / 'iter_2.pth', weights_only=False)
    assert 'distill.acam.levels.0.spatial_units' in saved['state_dict']
    weights, _ = apis.export_student(cfg, str(tmp_path / 'iter_2.pth'),
                                     str(tmp_path / 'export'))
    exported = torch.load(weights)['state_dict']
    student = runner.model.student.eval()
    assert set(exported) == set(student.state_dict())
    other = DistillationModel(segmentor(), {}, {}).student.eval()
    other.load_state_dict(exported)
    image = torch.randn(1, 3, 32, 64)
    with torch.no_grad():
        assert torch.equal(other(image), student(image))
    log = next(tmp_path.glob('*/*.log')).read_text()
    assert 'acam.loss_spatial' in log and 'acam.mask_std_0' in log
    assert 'gives the student no gradient' not in log
    assert 'stabilise=True' in log
