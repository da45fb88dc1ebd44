import math

import pytest
import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.structures import InstanceData

from mmkd.core.batch import StepBatch
from mmkd.core.model import DistillationModel
from mmkd.core.schedule import Progress
from mmkd.errors import ConfigError
from mmkd.methods.fgd.distiller import FGD, PRESETS
from mmkd.methods.fgd.losses import (attention_loss, attention_maps, box_masks,
                                     focal_distances)
from mmkd.ops.distances import squared_distance
from mmkd.testing import detector, segmentation_batch
from mmkd.testing.networks import two_stage_detector

TERMS = ('fg', 'bg', 'att', 'global_')
ONES = dict.fromkeys(TERMS, 1)
BOXES = ([[8, 8, 30, 30], [0, 4, 60, 40], [20, 2, 26, 12]], [])


def batch_of(boxes=BOXES, size=(48, 64), sizes=None):
    """A step of images with boxes; ``sizes`` are those before padding."""
    samples = []
    for own, img_shape in zip(boxes, sizes or [size] * len(boxes)):
        own = torch.tensor(own, dtype=torch.float32).reshape(-1, 4)
        samples.append(
            DetDataSample(
                metainfo=dict(img_shape=img_shape),
                gt_instances=InstanceData(
                    bboxes=own, labels=torch.zeros(len(own)).long())))
    return StepBatch(torch.zeros(len(boxes), 3, *size), samples)


def run(harness, student, teacher, batch=None, distiller=None, **arguments):
    """Set an FGD up, wake its context blocks, and compute its terms."""
    if distiller is None:
        distiller = FGD(**{'weights': ONES, **arguments})
        harness.set_up(distiller, student, teacher, 'features')
        for contexts in (distiller.contexts_s, distiller.contexts_t):
            for block in contexts:
                torch.nn.init.normal_(block.channel_add_conv[-1].weight)
                torch.nn.init.normal_(block.channel_add_conv[-1].bias)
    return distiller, distiller(
        dict(features=student), dict(features=teacher), batch or batch_of())


def context(block, feat):
    """R of the paper, position by position."""
    n, c = feat.shape[:2]
    w1, norm, _, w2 = block.channel_add_conv
    share = F.conv2d(feat, block.conv_mask.weight, block.conv_mask.bias)
    share = share.flatten(1).softmax(1)
    pooled = (feat.flatten(2) * share[:, None]).sum(2)
    hidden = pooled @ w1.weight.view(c // 2, c).T + w1.bias
    hidden = (hidden - hidden.mean(1, keepdim=True)) / (
        hidden.var(1, unbiased=False, keepdim=True) + norm.eps).sqrt()
    hidden = hidden * norm.weight.flatten() + norm.bias.flatten()
    added = hidden.relu() @ w2.weight.view(c, c // 2).T + w2.bias
    return feat + added.view(n, c, 1, 1)


def reference(distiller, level, feat_s, feat_t, boxes, frames, tau=0.5):
    """The terms of a level as the released code computes them: box by box,
    and with the roots of the weights on both maps."""
    n, c, h, w = feat_s.shape

    def attention(feat):
        cells = feat.abs().mean(1).flatten(1)
        channels = feat.abs().mean((2, 3))
        return ((h * w * (cells / tau).softmax(1)).view(n, h, w),
                c * (channels / tau).softmax(1))

    mask_fg, mask_bg = torch.zeros(n, h, w), torch.ones(n, h, w)
    for i, (own, (frame_h, frame_w)) in enumerate(zip(boxes, frames)):
        for x1, y1, x2, y2 in own:
            x1, x2 = math.floor(x1 * w / frame_w), math.ceil(x2 * w / frame_w)
            y1, y2 = math.floor(y1 * h / frame_h), math.ceil(y2 * h / frame_h)
            window = mask_fg[i, y1:y2 + 1, x1:x2 + 1]
            weight = torch.tensor(1 / (y2 + 1 - y1) / (x2 + 1 - x1))
            window.copy_(torch.maximum(window, weight))
        mask_bg[i] = torch.where(mask_fg[i] > 0, 0., 1.)
        if mask_bg[i].sum():
            mask_bg[i] /= mask_bg[i].sum()
    (s_s, c_s), (s_t, c_t) = attention(feat_s), attention(feat_t)

    def weighted(feat, mask):
        return feat * s_t[:, None].sqrt() * c_t[
            ..., None, None].sqrt() * mask[:, None].sqrt()

    def distance(a, b):
        return F.mse_loss(a, b, reduction='sum') / n

    return dict(
        fg=distance(weighted(feat_s, mask_fg), weighted(feat_t, mask_fg)),
        bg=distance(weighted(feat_s, mask_bg), weighted(feat_t, mask_bg)),
        att=((s_s - s_t).abs().sum() + (c_s - c_t).abs().sum()) / n,
        global_=distance(
            context(distiller.contexts_s[level], feat_s),
            context(distiller.contexts_t[level], feat_t)))


@pytest.mark.parametrize('box_scale, frames', [
    ('batch', [(48, 64), (48, 64)]),
    ('img', [(44, 60), (48, 50)]),
])
def test_against_the_formula(harness, tensors, box_scale, frames):
    levels = [
        tensors(2, 8, 6, 8, teacher_shape=(2, 16, 6, 8)),
        tensors(2, 16, 3, 4, seed=1)
    ]
    student, teacher = zip(*levels)
    boxes = (BOXES[0], [[3, 5, 49, 30]])
    batch = batch_of(boxes, sizes=[(44, 60), (48, 50)])
    distiller, found = run(
        harness, student, teacher, batch, box_scale=box_scale)
    expected = [
        reference(distiller, i, distiller.connectors[i](feat_s), feat_t, boxes,
                  frames) for i, (feat_s, feat_t) in enumerate(levels)
    ]
    for term in TERMS:
        assert found[term].item() == pytest.approx(
            sum(level[term] for level in expected).item(), rel=1e-5), term
    # The defect of the released code shows in the masks alone.
    other = FGD(
        weights=ONES, box_scale='img' if box_scale == 'batch' else 'batch')
    harness.set_up(other, student, teacher, 'features')
    other.load_state_dict(distiller.state_dict())
    _, changed = run(harness, student, teacher, batch, distiller=other)
    assert changed['fg'] != found['fg']
    assert changed['att'] == found['att']


def test_weights(harness, tensors):
    student, teacher = tensors(2, 8, 6, 8)
    distiller, found = run(harness, [student], [teacher])
    weighted = FGD(loss_weight=2.0)
    harness.set_up(weighted, [student], [teacher], 'features')
    weighted.load_state_dict(distiller.state_dict())
    _, small = run(harness, [student], [teacher], distiller=weighted)
    values = PRESETS['one_stage']
    for term in TERMS:
        weight = values['weights'][term]
        assert torch.allclose(small[term], 2 * weight * found[term])


@pytest.mark.parametrize('preset, expected', [
    ('one_stage', (0.5, 1e-3, 5e-4, 5e-4, 5e-6)),
    ('two_stage', (0.5, 5e-5, 2.5e-5, 5e-5, 5e-7)),
    ('reppoints', (0.5, 1.6e-3, 8e-4, 8e-4, 8e-6)),
    ('fcos', (0.8, 1.6e-3, 8e-4, 8e-4, 8e-6)),
])
def test_presets(preset, expected):
    distiller = FGD(preset=preset)
    weights = distiller.term_weights(Progress())
    assert (distiller.tau, *map(weights.get, TERMS)) == expected
    assert FGD(
        preset=preset, tau=1.0, weights=dict(bg=3)).weights['bg'].value == 3


@pytest.mark.parametrize('network, preset', [
    (detector(kind='fcos'), 'fcos'),
    (detector(), 'one_stage'),
    (two_stage_detector(), 'two_stage'),
])
def test_the_student_selects_the_preset(network, preset):
    model = DistillationModel(network,
                              dict(teacher=dict(cfg=network, ckpt='random')),
                              dict(fgd=dict(type='FGD')), (64, 64))
    found, expected = model.distillers['fgd'], FGD(preset=preset)
    assert found.tau == expected.tau
    assert found.peak_weights() == expected.peak_weights()


def test_images_without_objects(harness, tensors):
    student, teacher = tensors(2, 8, 6, 8)
    distiller, terms = run(harness, [student], [teacher], batch_of(([], [])))
    assert terms['fg'] == 0
    cells, channels = attention_maps(teacher)
    spread, = focal_distances(student, teacher, cells, channels,
                              [torch.full((2, 6, 8), 1 / 48)])
    assert torch.allclose(terms['bg'], spread)
    _, others = run(harness, [student], [teacher], distiller=distiller)
    for term in ('att', 'global_'):
        assert terms[term] == others[term]
    sum(terms.values()).backward()
    assert student.grad.isfinite().all() and student.grad.abs().sum() > 0


def test_a_box_over_the_whole_image(harness, tensors):
    student, teacher = tensors(1, 8, 6, 8)
    _, terms = run(harness, [student], [teacher], batch_of(([[0, 0, 64,
                                                              48]], )))
    assert terms['bg'] == 0 and terms['fg'] > 0


def test_a_repeated_batch(harness, tensors):
    student, teacher = tensors(2, 8, 6, 8)
    distiller, terms = run(harness, [student], [teacher])
    _, twice = run(
        harness, [torch.cat([student] * 2)], [torch.cat([teacher] * 2)],
        batch_of(BOXES * 2),
        distiller=distiller)
    _, first = run(
        harness, [student[:1]], [teacher[:1]],
        batch_of(BOXES[:1]),
        distiller=distiller)
    _, second = run(
        harness, [student[1:]], [teacher[1:]],
        batch_of(BOXES[1:]),
        distiller=distiller)
    for term in TERMS:
        assert torch.allclose(terms[term], twice[term])
        assert torch.allclose(terms[term], (first[term] + second[term]) / 2)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_mixed_precision(harness, tensors, dtype):
    # 67,200 cells, whose attention is on one object and one cell besides.
    student, teacher = tensors(1, 4, 200, 336, teacher_shape=(1, 8, 200, 336))
    teacher[..., 10, 20] = teacher[..., 190, 300] = 500
    student = student.detach().to(dtype).requires_grad_()
    with torch.autocast('cpu', dtype):
        distiller, terms = run(harness, [student], [teacher.to(dtype)],
                               batch_of(([[8, 8, 600, 500]], ), (800, 1344)))
    for term in TERMS:
        assert terms[term].dtype == torch.float32
        assert terms[term].isfinite() and terms[term] > 0, term
    (1e-6 * sum(terms.values())).backward()
    assert student.grad.isfinite().all()


def test_sizes(harness, tensors):
    student, teacher = tensors(2, 8, 3, 4, teacher_shape=(2, 8, 6, 8))
    with pytest.raises(ConfigError, match='3x4 cells.*resize=True'):
        run(harness, [student], [teacher])
    distiller, terms = run(harness, [student], [teacher], resize=True)
    resized = F.interpolate(
        student, (6, 8), mode='bilinear', align_corners=False)
    _, expected = run(harness, [resized], [teacher], distiller=distiller)
    assert all(terms[term] == expected[term] for term in TERMS)
    # Equal in the dry run, but not later: other padding.
    small = FGD()
    harness.set_up(small, [teacher], [teacher], 'features')
    with pytest.raises(ConfigError, match='pad_size_divisor'):
        run(harness, [student], [teacher], distiller=small)


def test_channels_last(harness, tensors):
    student, teacher = tensors(2, 8, 6, 8)
    distiller, terms = run(harness, [student], [teacher])
    last = [
        feat.to(memory_format=torch.channels_last)
        for feat in (student, teacher)
    ]
    _, others = run(harness, last[:1], last[1:], distiller=distiller)
    assert all(torch.allclose(terms[term], others[term]) for term in TERMS)


def test_parts_add_up_to_the_functions(harness, tensors):
    student, teacher = tensors(2, 8, 6, 8)
    distiller, terms = run(harness, [student], [teacher])
    batch = batch_of()
    masks = box_masks([own.boxes for own in batch.instances],
                      [batch.input_size] * 2, (6, 8))
    attention_t = attention_maps(teacher)
    fg, bg = focal_distances(student, teacher, *attention_t, masks)
    assert terms['fg'] == fg and terms['bg'] == bg
    assert terms['att'] == attention_loss(attention_maps(student), attention_t)
    assert terms['global_'] == squared_distance(
        distiller.contexts_s[0](student), distiller.contexts_t[0](teacher))


def test_instances_of_a_step():
    batch = batch_of(sizes=[(40, 60), (48, 64)])
    assert batch.input_size == (48, 64)
    assert batch.image_sizes == [(40, 60), (48, 64)]
    first, second = batch.instances
    assert first.boxes.tolist() == BOXES[0] and len(first.labels) == 3
    assert second.boxes.shape == (0, 4)
    assert batch.for_terms(frozenset('a')).instances is batch.instances
    sample = batch.data_samples[0]
    sample.gt_instances.bboxes = HorizontalBoxes(sample.gt_instances.bboxes)
    again = StepBatch(batch.inputs, batch.data_samples)
    assert torch.equal(again.instances[0].boxes, first.boxes)
    for samples in (segmentation_batch()['data_samples'], [], None):
        with pytest.raises(ConfigError, match='serves detection in images'):
            StepBatch(batch.inputs, samples).instances
    with pytest.raises(ConfigError, match='batch of images'):
        StepBatch(dict(points=[torch.zeros(5, 4)])).input_size


@pytest.mark.parametrize('arguments, message', [
    (dict(preset='detr'), 'preset is one of'),
    (dict(tau=-1), 'tau'),
    (dict(box_scale='image'), 'box_scale'),
    (dict(weights=dict(fg='much')), 'FGD, the weight of fg'),
    (dict(student=dict(neck='neck')), 'role'),
])
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        FGD(**arguments)


def test_wrong_maps(harness, tensors):
    tokens = torch.zeros(2, 8, 6)
    with pytest.raises(ConfigError, match='compares maps'):
        harness.set_up(FGD(), [tokens], [tokens], 'features')
    one = torch.zeros(2, 1, 6, 8)
    with pytest.raises(ConfigError, match='2 channels'):
        harness.set_up(FGD(), [one], [one], 'features')
    student, teacher = tensors(2, 4, 6, 8, teacher_shape=(2, 8, 6, 8))
    with pytest.raises(ConfigError, match='connector'):
        harness.set_up(FGD(connector=None), [student], [teacher], 'features')
