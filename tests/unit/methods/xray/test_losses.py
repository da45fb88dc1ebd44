"""Losses of X-Ray distillation against loops and by hand."""
import math

import pytest
import torch

from mmkd.methods.xray.losses import (active_feature_loss, masked_feature_loss,
                                      roi_grid, roi_loss, soft_focal_loss)
from mmkd.ops.detection_heads import code_loss, masked_score_loss

RANGE = (-8., -4., -3., 8., 4., 1.)


def maps(channels=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn((2, channels, 4, 8), generator=generator) for _ in range(2)
    ]


def test_scores_against_a_loop():
    logits_s, logits_t = maps()
    mask = torch.rand((2, 4, 8)).round(decimals=1) * (torch.rand(2, 4, 8) > .5)
    total, weight = 0., 0.
    for b in range(2):
        for y in range(4):
            for x in range(8):
                m = mask[b, y, x].item()
                weight += m
                for c in range(3):
                    s, t = (1 / (1 + math.exp(-z[b, c, y, x].item()))
                            for z in (logits_s, logits_t))
                    total += m * (s - t)**2
    assert masked_score_loss(logits_s, logits_t, mask).item() == (
        pytest.approx(total / (weight + 1e-6), abs=1e-6))


def test_masked_cells_do_not_matter():
    logits_s, logits_t = maps()
    mask = torch.zeros(2, 4, 8)
    mask[0, 1, 2] = .5
    before = masked_score_loss(logits_s, logits_t, mask)
    other = logits_s.clone()
    other[mask[:, None].expand_as(other) == 0] = float('inf')
    assert masked_score_loss(other, logits_t, mask) == before


def test_focal_scores_against_a_loop():
    logits_s, logits_t = maps()
    peaks = torch.zeros(2, 3, 4, 8, dtype=torch.bool)
    peaks[0, 1, 2, 3] = peaks[1, 0, 0, 0] = True
    total = 0.
    for s, t, peak in zip(logits_s.flatten(), logits_t.flatten(),
                          peaks.flatten()):
        s, t = 1 / (1 + math.exp(-s)), 1 / (1 + math.exp(-t))
        total -= (1 - t)**4 * s**2 * math.log(1 - s)
        if peak:
            total -= (1 - s)**2 * math.log(s)
    found = soft_focal_loss(logits_s, logits_t, peaks)
    assert found.item() == pytest.approx(total / 2, rel=1e-5)
    # Where the teacher sees something, the student may do so.
    sure = logits_t.masked_fill(~peaks, 20.)
    assert soft_focal_loss(logits_s, sure, peaks) < found
    logits_s.requires_grad_()
    nothing = soft_focal_loss(logits_s, logits_t, torch.zeros_like(peaks))
    assert nothing == 0 and nothing.requires_grad
    with torch.autocast('cpu', torch.bfloat16):
        half = soft_focal_loss(logits_s.bfloat16(), logits_t, peaks)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(found.item(), rel=.05)


def test_codes_by_hand():
    codes_s = torch.tensor([[1., 2.], [0., 0.]])
    codes_t = torch.tensor([[0., 4.], [0., .5]])
    assert code_loss(codes_s, codes_t) == (1 + 2 + .5) / 2
    assert code_loss(codes_s, codes_t, [1, .2]) == pytest.approx(
        (1 + .4 + .1) / 2)
    assert code_loss(codes_s, codes_t, smooth=True) == (.5 + 1.5 + .125) / 2
    assert code_loss(codes_s, codes_t, squared=True) == (1 + 4 + .25) / 2


def test_grid_of_a_box():
    boxes = torch.tensor([[2., 1., 4., 2., 0.], [2., 1., 4., 2., math.pi / 2]])
    grid = roi_grid(boxes, RANGE, 2)
    # x of the middles of the halves: 1 and 3, of 16 m; y: 0.5 and 1.5, of 8.
    assert torch.allclose(grid[0, 0],
                          torch.tensor([[1 / 8, 1 / 8], [3 / 8, 1 / 8]]))
    assert torch.allclose(grid[0, 1, 1], torch.tensor([3 / 8, 3 / 8]))
    # Along y now: the length runs to the left.
    assert torch.allclose(
        grid[1, 0], torch.tensor([[2.5 / 8, 0.], [2.5 / 8, .5]]), atol=1e-6)


def test_maps_in_boxes_by_hand():
    feat_s, feat_t = torch.zeros(2, 2, 4, 8), torch.zeros(2, 2, 4, 8)
    feat_t[0, 0] = 3  # of two channels, one differs by 3
    boxes = [torch.tensor([[0., 0., 4., 2., .3]]), torch.zeros(0, 5)]
    assert roi_loss(feat_s, feat_t, boxes, RANGE) == pytest.approx(4.5)
    # The cell of a box of one cell: x 5 to 6 is column 6, y 1 to 2 row 2.
    feat_t = torch.zeros(2, 2, 4, 8)
    feat_t[0, :, 2, 6] = 2
    boxes = [torch.tensor([[5., 1., 0., 0., 0.]]), torch.zeros(0, 5)]
    assert roi_loss(feat_s, feat_t, boxes, RANGE, 1) == pytest.approx(4.)


def test_masked_and_active_maps_by_hand():
    feat_s, feat_t = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    feat_t[0, 0, 0, 0] = 2
    mask = torch.zeros(1, 2, 2)
    mask[0, 0] = .5
    assert masked_feature_loss(feat_s, feat_t, mask) == pytest.approx(
        (.5 * 2 + .5 * 0) / 1, rel=1e-5)
    assert active_feature_loss(feat_s, feat_t) == pytest.approx(10 * 4)
    feat_s[0, 1] = 1
    assert active_feature_loss(feat_s,
                               feat_t) == pytest.approx(10 * 4 + 20 * 4 / 7)


LOSSES = dict(
    scores=lambda s, t, full: masked_score_loss(s, t,
                                                torch.ones(2, 4, 8) * full),
    codes=lambda s, t, full: code_loss(
        s.flatten(2).mT.flatten(0, 1)[:6 * full],
        t.flatten(2).mT.flatten(0, 1)[:6 * full]),
    roi=lambda s, t, full: roi_loss(
        s, t, [torch.tensor([[0., 0., 4., 2., .3]])[:full]] * 2, RANGE),
    mask=lambda s, t, full: masked_feature_loss(s, t,
                                                torch.ones(2, 4, 8) * full))


@pytest.mark.parametrize('name', LOSSES)
def test_zero_gradient_and_precision(name):
    loss = LOSSES[name]
    feat_s, feat_t = maps()
    feat_s.requires_grad_()
    feat_t.requires_grad_()
    assert loss(feat_t, feat_t, 1) == 0
    value = loss(feat_s, feat_t, 1)
    value.backward()
    assert feat_s.grad.abs().sum() > 0 and feat_t.grad is None
    # Nothing there: an exact zero that hangs on the graph.
    empty = loss(feat_s, feat_t, 0)
    assert empty == 0 and empty.requires_grad
    with torch.autocast('cpu', torch.bfloat16):
        half = loss(feat_s.bfloat16(), feat_t.bfloat16(), 1)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(value.item(), rel=.05)
    wide = feat_s.detach().contiguous(memory_format=torch.channels_last)
    assert loss(wide, feat_t, 1).item() == pytest.approx(value.item())
