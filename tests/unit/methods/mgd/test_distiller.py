import logging

import pytest
import torch
import torch.nn.functional as F

from mmkd.core.batch import StepBatch
from mmkd.core.model import DistillationModel
from mmkd.core.schedule import Progress
from mmkd.errors import ConfigError
from mmkd.methods.mgd.distiller import MGD
from mmkd.ops.generation import random_cells, random_channels
from mmkd.testing import detector, segmentor
from mmkd.testing.networks import two_stage_detector


def make(harness, student, teacher, **arguments):
    distiller = MGD(**{'loss_weight': 1.0, **arguments})
    return harness.set_up(distiller, student, teacher, 'features')


def run(distiller, student, teacher, seed=0):
    torch.manual_seed(seed)
    return distiller(
        dict(features=student), dict(features=teacher), StepBatch())['loss']


def reference(distiller, student, teacher, ratio, seed=0):
    """The released formula on the same draws, level by level."""
    torch.manual_seed(seed)
    total = 0
    for i, (feat_s, feat_t) in enumerate(zip(student, teacher)):
        feat_s = distiller.connectors[i](feat_s)
        n, _, h, w = feat_s.shape
        draw = torch.rand(n, 1, h, w)
        kept = torch.where(draw > 1 - ratio, 0, 1)
        first, _, second = distiller.generators[i].layers
        hidden = F.conv2d(
            feat_s * kept, first.weight, first.bias, padding=1).relu()
        made = F.conv2d(hidden, second.weight, second.bias, padding=1)
        total = total + ((made - feat_t)**2).sum() / n
    return total


@pytest.mark.parametrize('ratio', [0.0, 0.45, 0.65, 1.0])
def test_against_the_formula(harness, tensors, ratio):
    levels = [
        tensors(2, 4, 8, 6, teacher_shape=(2, 6, 8, 6)),
        tensors(2, 6, 4, 3, seed=1)
    ]
    student, teacher = zip(*levels)
    distiller = make(harness, student, teacher, mask_ratio=ratio)
    assert run(distiller, student, teacher).item() == pytest.approx(
        reference(distiller, student, teacher, ratio).item(), rel=1e-5)
    if 0 < ratio < 1:
        assert run(distiller, student, teacher,
                   0) != run(distiller, student, teacher, 1)


def test_by_hand(harness):
    """G doubles the map, nothing is dropped: (2 * 1 - 3)^2 at each cell."""
    feat_s, feat_t = torch.ones(2, 1, 3, 4), torch.full((2, 1, 3, 4), 3.)
    distiller = make(harness, [feat_s], [feat_t], mask_ratio=0)
    for weight, layer in zip((2, 1), distiller.generators[0].layers[::2]):
        layer.weight.data.zero_()[0, 0, 1, 1] = weight
        layer.bias.data.zero_()
    assert run(distiller, [feat_s], [feat_t]) == 12
    distiller.reduction = 'mean'
    assert run(distiller, [feat_s], [feat_t]) == 1
    # Everything is dropped: (0 - 3)^2 at each cell.
    distiller.reduction, distiller.mask_ratio = 'sum_per_image', 1
    assert run(distiller, [feat_s], [feat_t]) == 9 * 12


def test_all_is_masked(harness, tensors):
    student, teacher = tensors(2, 3, 8, 8)
    distiller = make(harness, [student], [teacher], mask_ratio=1)
    run(distiller, [student], [teacher]).backward()
    assert torch.equal(student.grad, torch.zeros_like(student))
    made = distiller.generators[0](torch.zeros(1, 3, 8, 8))
    inside = made[:, :, 1:-1, 1:-1]
    assert torch.allclose(inside, inside[:, :, :1, :1])


def test_gradients(harness, tensors):
    student, teacher = tensors(2, 4, 8, 6, teacher_shape=(2, 6, 8, 6))
    teacher.requires_grad_()
    distiller = make(harness, [student], [teacher])
    run(distiller, [student], [teacher]).backward()
    torch.manual_seed(0)
    kept = random_cells(student, 0.65).bool().expand_as(student)
    # A 1x1 connector keeps what is masked apart from what is not.
    assert student.grad[~kept].abs().sum() == 0
    assert (student.grad[kept] != 0).all()
    assert teacher.grad is None
    for name, parameter in distiller.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_masked_channels(harness, tensors):
    student, teacher = tensors(2, 8, 5, 4)
    assert MGD(mask='channels').mask_ratio == .15
    distiller = make(
        harness, [student], [teacher], mask='channels', mask_ratio=.5)
    student.requires_grad_()
    run(distiller, [student], [teacher]).backward()
    torch.manual_seed(0)
    kept = random_channels(student, .5).bool().expand_as(student)
    assert (student.grad[kept] != 0).all() and not student.grad[~kept].any()
    # A channel has no place to draw.
    visuals = distiller.visuals(
        dict(features=[student.detach()]), dict(features=[teacher]),
        StepBatch())
    assert [v.name for v in visuals] == ['distance of the generated map']


def test_the_student_is_not_written_into(harness, tensors):
    student, teacher = tensors(2, 4, 8, 6)
    student = student.detach()
    before = student.clone()
    run(make(harness, [student], [teacher]), [student], [teacher])
    assert torch.equal(student, before)


def test_a_repeated_batch(harness, tensors):
    student, teacher = tensors(2, 4, 8, 6)
    for ratio in (0, 1):  # without chance in it
        distiller = make(harness, [student], [teacher], mask_ratio=ratio)
        twice = run(distiller, [torch.cat([student] * 2)],
                    [torch.cat([teacher] * 2)])
        assert torch.allclose(run(distiller, [student], [teacher]), twice)


@pytest.mark.parametrize('preset, weight, ratio', [
    ('one_stage', 2e-5, 0.65),
    ('two_stage', 5e-7, 0.45),
    ('segmentation', 2e-5, 0.75),
])
def test_presets(preset, weight, ratio):
    distiller = MGD(preset=preset)
    assert distiller.mask_ratio == ratio
    assert distiller.term_weights(Progress()) == dict(loss=weight)
    assert MGD(preset=preset, mask_ratio=0.1).mask_ratio == 0.1
    assert MGD(preset=preset, loss_weight=0).term_weights(Progress()) == {}


@pytest.mark.parametrize('network, ratio', [
    (segmentor, 0.75),
    (detector, 0.65),
    (two_stage_detector, 0.45),
])
def test_the_student_selects_the_preset(network, ratio):
    model = DistillationModel(
        network(4), dict(teacher=dict(cfg=network(4), ckpt='random')),
        dict(mgd=dict(type='MGD'), own=dict(type='MGD', preset='one_stage')),
        (64, 64))
    assert model.distillers['mgd'].mask_ratio == ratio
    assert model.distillers['own'].mask_ratio == 0.65


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_mixed_precision(harness, tensors, dtype):
    # 256 x 64 x 64 squares of about 4: more than float16 can sum.
    student, teacher = tensors(1, 8, 64, 64, teacher_shape=(1, 16, 64, 64))
    teacher = 100 * teacher
    distiller = make(harness, [student], [teacher])
    half = student.detach().to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype):
        loss = run(distiller, [half], [teacher.to(dtype)])
    exact = run(distiller, [student], [teacher])
    assert loss.dtype == torch.float32
    assert torch.finfo(torch.float16).max < loss < float('inf')
    assert loss.item() == pytest.approx(exact.item(), rel=0.02)
    (1e-6 * loss).backward()
    assert half.grad.isfinite().all() and half.grad.abs().sum() > 0


def test_sizes(harness, tensors):
    student, teacher = tensors(2, 4, 4, 3, teacher_shape=(2, 4, 8, 6))
    with pytest.raises(ConfigError, match='4x3 cells.*resize=True'):
        make(harness, [student], [teacher])
    distiller = make(harness, [student], [teacher], resize=True)
    resized = F.interpolate(
        student, (8, 6), mode='bilinear', align_corners=False)
    assert run(distiller, [student], [teacher]) == run(distiller, [resized],
                                                       [teacher])


def test_bottleneck(harness, tensors):
    student, teacher = tensors(2, 4, 4, 3)
    distiller = make(harness, [student], [teacher], gen_channels=2)
    first, _, second = distiller.generators[0].layers
    assert first.weight.shape == (2, 4, 3, 3)
    assert second.weight.shape == (4, 2, 3, 3)


def test_many_parameters_are_warned_of(harness, monkeypatch):
    lines = []
    monkeypatch.setattr('mmkd.methods.mgd.distiller.print_log',
                        lambda *args: lines.append(args))
    monkeypatch.setattr('mmkd.methods.mgd.distiller._MANY', 1000)
    feat = torch.zeros(1, 16, 2, 2)
    make(harness, [feat], [feat])
    (text, _, level), = lines
    assert level == logging.WARNING and '`gen_channels`' in text
    assert f'{2 * (16 * 16 * 9 + 16):,}' in text
    make(harness, [feat], [feat], gen_channels=1)
    assert len(lines) == 1


@pytest.mark.parametrize('arguments, message', [
    (dict(preset='detr'), 'preset is one of'),
    (dict(mask_ratio=1.5), 'mask_ratio'),
    (dict(mask='pixels'), 'mask is one of cells, channels'),
    (dict(gen_channels=0), 'gen_channels'),
    (dict(reduction='sum'), 'reduction'),
    (dict(student=dict(neck='neck')), 'role'),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        MGD(**arguments)


def test_levels_of_a_pyramid_with_a_pooled_one():
    """Faster R-CNN's fifth level is pooled from the fourth."""

    def network(width):
        config = detector(width)
        neck = config['model']['neck']
        neck.update(start_level=0, add_extra_convs=False)
        return config

    model = DistillationModel(
        student=network(4),
        teachers=dict(teacher=dict(cfg=network(8), ckpt='random')),
        distillers=dict(mgd=dict(type='MGD')),
        dry_run_size=(64, 64))
    distiller = model.distillers['mgd']
    assert model.taps.student['mgd']['features'][0].path == 'neck[0:4]'
    assert len(distiller.generators) == 4
