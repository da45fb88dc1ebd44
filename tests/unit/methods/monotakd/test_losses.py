import math

import pytest
import torch

# isort and yapf break this import in different ways.
# yapf: disable
from mmkd.methods.monotakd.losses import (center_box_distance,
                                          center_class_distance, map_distance,
                                          min_max, residual_target,
                                          soft_anchor_weights,
                                          soft_box_distance,
                                          soft_class_distance,
                                          soft_direction_distance)

# yapf: enable


def rand(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_residual_by_hand():
    feat_t = torch.tensor([[[[0., 1., -5., 3.1]]], [[[0., 0., 1., .5]]]])
    feat_a = torch.zeros_like(feat_t)
    own = residual_target(feat_t, feat_a)
    assert own.flatten().tolist() == pytest.approx([0, 0, 5, 3.1, 0, 0, 1, 0])
    whole = residual_target(feat_t, feat_a, per_batch=True)
    assert whole.flatten().tolist() == pytest.approx(
        [0, 0, 5, 3.1, 0, 0, 0, 0])
    signed = residual_target(feat_t, feat_a, signed=True)
    assert signed.flatten().tolist() == pytest.approx(
        [0, 0, -5, 3.1, 0, 0, 1, 0])
    binary = residual_target(feat_t, feat_a, binary=True)
    assert binary.flatten().tolist() == [0, 0, 1, 1, 0, 0, 1, 0]


@pytest.mark.parametrize('per_batch', [False, True])
def test_residual_keeps_what_is_large(per_batch):
    feat_t, feat_a = rand(3, 4, 5, 6), rand(3, 4, 5, 6, seed=1)
    kept = residual_target(feat_t, feat_a, per_batch=per_batch)
    largest = kept.amax() if per_batch else kept.amax((1, 2, 3), True)
    nonzero = kept > 0
    assert (kept >= 0).all() and nonzero.any() and not nonzero.all()
    assert (kept >= .6 * largest)[nonzero].all()
    scaled = residual_target(4 * feat_t, 4 * feat_a, per_batch=per_batch)
    assert scaled.equal(4 * kept)
    everything = residual_target(feat_t, feat_a, keep_ratio=0.)
    assert everything.equal((feat_t - feat_a).abs())
    assert residual_target(feat_t, feat_t).abs().sum() == 0
    with pytest.raises(ValueError, match=r'\(3, 4, 5, 6\) and \(3, 4, 5, 5\)'):
        residual_target(feat_t, feat_a[..., :5])


def test_equal_teacher_and_assistant():
    # The student's residual is drawn to 0, with the gradient 2 x / numel.
    feat = rand(2, 3, 4, 5)
    feat_s = rand(2, 3, 4, 5, seed=1).requires_grad_()
    loss = map_distance(feat_s, residual_target(feat, feat))
    assert loss.item() == pytest.approx(feat_s.square().mean().item())
    loss.backward()
    assert torch.allclose(feat_s.grad, 2 * feat_s.detach() / feat_s.numel())


def test_between_least_and_largest():
    feat = rand(2, 3, 4, 5).requires_grad_()
    found = min_max(feat)
    assert found.min() == 0 and found.max() == 1
    assert found.argmax() == feat.argmax()
    assert min_max(5 * feat - 7).allclose(found, atol=1e-6)
    found.square().sum().backward()
    assert feat.grad.isfinite().all() and feat.grad.abs().sum() > 0
    # 0 / 0 in the released code.
    assert min_max(torch.full((1, 2, 3, 4), 5.)).abs().max() == 0


def test_map_distance():
    feat_s, target = rand(2, 3, 4, 5).requires_grad_(), rand(
        2, 3, 4, 5, seed=1).requires_grad_()
    assert map_distance(feat_s, feat_s) == 0
    plain = map_distance(feat_s, target)
    assert plain.item() == pytest.approx(
        (feat_s - target).square().mean().item())
    ones = map_distance(feat_s, target, torch.full((2, 1, 1, 1), 3.))
    assert ones.item() == pytest.approx(plain.item())
    # Weighted cells: mean(M e) numel(M) / sum(M).
    weight = torch.rand(2, 1, 4, 5)
    error = (feat_s - target).square()
    expected = (weight * error).mean() * weight.numel() / weight.sum()
    weighted = map_distance(feat_s, target, weight)
    assert weighted.item() == pytest.approx(expected.item())
    # A sample that does not count.
    first = map_distance(feat_s, target,
                         torch.tensor([1., 0]).view(2, 1, 1, 1))
    assert first.item() == pytest.approx(error[0].mean().item())
    first.backward()
    assert feat_s.grad[0].abs().sum() > 0 == feat_s.grad[1].abs().sum()
    assert target.grad is None
    none = map_distance(feat_s, target, torch.zeros(2, 1, 1, 1))
    assert none == 0 and none.requires_grad
    with pytest.raises(ValueError, match='one shape'):
        map_distance(feat_s, target[:, :2])


def test_soft_classes_by_hand():
    # Teacher 0.5 everywhere, so each of 2 anchors counts.
    logits_t = torch.zeros(1, 2, 1)
    z = math.log(3)  # probability 0.75
    logits_s = torch.full((1, 2, 1), z)
    entropy = math.log1p(3) - .5 * z
    found = soft_class_distance(logits_s, logits_t)
    assert found.item() == pytest.approx(2 * entropy * .25**2 / 2, rel=1e-5)
    # No confident anchor: divided by 1.
    logits_t = torch.full((1, 2, 1), -10.)
    assert soft_class_distance(logits_s, logits_t).isfinite()


def test_soft_labels_of_equal_heads():
    cls, reg, dirs = rand(2, 6, 3), rand(
        2, 6, 7, seed=1), rand(
            2, 6, 2, seed=2)
    weights = soft_anchor_weights(cls)
    assert soft_class_distance(cls, cls) == 0
    assert soft_box_distance(reg, reg, weights) == 0
    assert soft_direction_distance(dirs, dirs, weights) > 0
    assert soft_direction_distance(1e3 * dirs, 1e3 * dirs, weights) < 1e-3
    heat = rand(2, 3, 4, 5)
    boxes = rand(2, 8, 4, 5)
    assert center_class_distance(heat, heat) == 0
    assert center_box_distance(boxes, boxes, heat) == 0


def test_duplicated_batch():
    tensors = [rand(2, 6, k, seed=i) for i, k in enumerate((3, 3, 7, 7, 2, 2))]
    twice = [torch.cat([x, x]) for x in tensors]

    def terms(cls_s, cls_t, reg_s, reg_t, dir_s, dir_t, batch_sum=False):
        weights = soft_anchor_weights(cls_t)
        return torch.stack([
            soft_class_distance(cls_s, cls_t, batch_sum=batch_sum),
            soft_box_distance(reg_s, reg_t, weights),
            soft_direction_distance(dir_s, dir_t, weights)
        ])

    assert torch.allclose(terms(*tensors), terms(*twice))
    once = terms(*tensors, batch_sum=True)
    assert torch.allclose(
        terms(*twice, batch_sum=True), once * torch.tensor([2., 1, 1]))


def test_weights_of_anchors():
    logits = torch.tensor([[[0., 0.], [-20, -20], [0., -20]]])
    weights = soft_anchor_weights(logits)
    assert weights[0].tolist() == pytest.approx([.5, 0, .25])
    assert soft_anchor_weights(torch.full((1, 4, 2), -20.)).sum() == 0


def test_yaw_is_compared_by_its_sine():
    codes = torch.zeros(1, 1, 7)
    weights = torch.ones(1, 1)
    other = codes.clone()
    other[..., 6] = math.pi
    assert soft_box_distance(other, codes, weights).item() < 1e-9
    other[..., 6] = math.pi / 2  # sine 1, beyond beta = 1/9
    assert soft_box_distance(other, codes,
                             weights).item() == pytest.approx(1 - .5 / 9)
    other[..., 0], other[..., 6] = .1, 0
    assert soft_box_distance(other, codes,
                             weights).item() == pytest.approx(.5 * .01 * 9)


def test_no_confident_anchor_or_cell():
    empty = torch.full((1, 4, 3), -20.)
    weights = soft_anchor_weights(empty)
    codes = rand(1, 4, 7).requires_grad_()
    dirs = rand(1, 4, 2).requires_grad_()
    box = soft_box_distance(codes, rand(1, 4, 7, seed=1), weights)
    way = soft_direction_distance(dirs, rand(1, 4, 2, seed=1), weights)
    assert box == 0 and way == 0
    (box + way).backward()
    assert codes.grad.abs().sum() == 0 == dirs.grad.abs().sum()
    cold = torch.full((1, 2, 3, 4), -20.)
    boxes = rand(1, 8, 3, 4).requires_grad_()
    found = center_box_distance(boxes, rand(1, 8, 3, 4, seed=1), cold)
    assert found == 0
    found.backward()
    assert boxes.grad.abs().sum() == 0


def test_centers_by_hand():
    heat_t = torch.full((1, 1, 1, 2), -20.)
    heat_t[..., 0] = 0
    reg_s, reg_t = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    reg_s[:, 0], reg_s[:, 1] = 3., .5
    # 2.5 and 0.125 at the one warm cell, whose score is a half.
    assert center_box_distance(reg_s, reg_t,
                               heat_t).item() == pytest.approx(.5 * 2.625)
    z = math.log(3)
    heat_s = heat_t.clone()
    heat_s[..., 0] = z
    found = center_class_distance(heat_s, heat_t)
    assert found.item() == pytest.approx(
        (math.log1p(3) - .5 * z) * .0625, rel=1e-4)


def test_half_precision():
    cls = rand(1, 6, 3)
    low = soft_class_distance(cls.bfloat16(), rand(1, 6, 3, seed=1).bfloat16())
    assert low.dtype == torch.float32 and low.isfinite()
    assert residual_target(cls[..., None].half(),
                           cls[..., None].half()).dtype == torch.float32
