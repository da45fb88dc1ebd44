"""Distances of 3D heads; the golden values of SparseKD by hand."""
import math

import pytest
import torch

from mmkd.ops.detection_heads import (anchor_code_distance, code_loss,
                                      masked_score_loss, pivotal_mask,
                                      resized_scores)

#: One task of two classes, two cells.
LOGITS_T = torch.tensor([[0., math.log(3)], [-math.log(3), -math.log(3)]])
HEATMAP = torch.tensor([1., .5])


def as_map(values):
    """(C, cells) or (cells, ) as (1, C, 1, cells) or (1, 1, cells)."""
    return values[None].unsqueeze(-2)


@pytest.mark.parametrize('options, mask, loss', [
    ({}, [.5, .375], .0892856),
    (dict(soft=False), [1., 1.], .09375),
    (dict(threshold=.6), [0., .375], .1249997),
    (dict(threshold=1.), [0., 0.], 0.),
])
def test_pivotal_positions_by_hand(options, mask, loss):
    logits_t = as_map(LOGITS_T)
    found = pivotal_mask(logits_t, as_map(HEATMAP), **options)
    torch.testing.assert_close(found, as_map(torch.tensor(mask)))
    logits_s = torch.zeros_like(logits_t).requires_grad_()
    value = masked_score_loss(logits_s, logits_t, found, 1e-4)
    assert value.item() == pytest.approx(loss, abs=1e-7)
    value.backward()
    if not options:
        torch.testing.assert_close(
            logits_s.grad,
            as_map(torch.tensor([[0., -.0535714], [.0714285, .0535714]])))
    elif loss == 0:
        assert not logits_s.grad.any()


def test_padding_scale_and_cells_without_objects():
    logits_s, logits_t = torch.randn(2, 1, 3, 4, 4)
    mask = torch.rand(1, 4, 4) * (torch.rand(1, 4, 4) > .5)
    logits_s.requires_grad_()
    value = masked_score_loss(logits_s, logits_t, mask, 1e-4)
    value.backward()
    assert not logits_s.grad[(mask == 0)[:, None].expand_as(logits_s)].any()
    wider = [
        torch.nn.functional.pad(x, (0, 3), value=2.)
        for x in (logits_s, logits_t)
    ]
    padded = torch.nn.functional.pad(mask, (0, 3))
    assert masked_score_loss(*wider, padded, 1e-4) == value
    assert masked_score_loss(logits_s, logits_t, mask * .5,
                             1e-4).item() == pytest.approx(
                                 value.item(), rel=1e-5)


def test_a_coarser_student_is_resized():
    """Also of a single class, where the release mixes the frames."""
    logits_s, logits_t = torch.randn(2, 1, 2, 3), torch.randn(2, 1, 4, 6)
    mask = torch.rand(2, 4, 6)
    resized = torch.nn.functional.interpolate(
        logits_s.sigmoid(), (4, 6), mode='bilinear', align_corners=False)
    torch.testing.assert_close(resized_scores(logits_s, logits_t), resized)
    total = mask[:, None] * (resized - logits_t.sigmoid()).square()
    assert masked_score_loss(logits_s, logits_t, mask).item() == pytest.approx(
        (total.sum() / mask.sum()).item(), rel=1e-5)


def test_codes_by_hand():
    codes = torch.zeros(2, 8)
    # Two boxes in one cell count twice, and their mean is that of one.
    assert code_loss(codes[:1] + .5, codes[:1]) == 4
    assert code_loss(codes + .5, codes) == 4
    assert code_loss(codes[:0], codes[:0]) == 0


def test_codes_of_anchors():
    codes_s = torch.zeros(2, 1, 8)
    codes_s[0, 0, 0], codes_s[0, 0, 7] = .1, -3.
    codes_s[1, 0, 6] = math.pi / 2
    codes_s.requires_grad_()
    codes_t = torch.zeros_like(codes_s, requires_grad=True)
    found = anchor_code_distance(codes_s, codes_t, 1.)
    expected = torch.zeros(2, 1, 8)
    expected[0, 0, 0], expected[0, 0, 7] = .1**2 / 2, 3 - .5
    expected[1, 0, 6] = .5
    torch.testing.assert_close(found, expected)
    found.sum().backward()
    assert codes_s.grad[0].any() and codes_t.grad is None
    # Turned by half a circle, a box is the same.
    turned = codes_s.detach().clone()
    turned[..., 6] += math.pi
    torch.testing.assert_close(
        anchor_code_distance(turned, codes_s, 1.).amax(),
        torch.tensor(0.),
        atol=1e-6,
        rtol=0)
