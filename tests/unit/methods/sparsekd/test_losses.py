"""The codes of anchors by hand."""
import pytest
import torch

from mmkd.methods.sparsekd.losses import anchor_code_loss


@pytest.mark.parametrize('place, difference, value', [
    (0, .2, .1444444),
    (0, .05, .01125),
    (6, 3., .0855645),
    (8, .2, .1444444),
])
def test_by_hand(place, difference, value):
    codes_s = torch.zeros(2, 9)
    codes_s[0, place] = difference
    codes_s[1] = 7.  # no positive anchor
    codes_s.requires_grad_()
    positives = torch.tensor([[True, False]])
    loss = anchor_code_loss(codes_s, torch.zeros(2, 9), positives)
    assert loss.item() == pytest.approx(value, abs=1e-7)
    loss.backward()
    assert codes_s.grad[0, place] != 0 and not codes_s.grad[1].any()


def test_means_of_frames():
    """Two anchors in one frame, one in another, none in a third."""
    positives = torch.tensor([[True, True], [True, False], [False, False]])
    codes = torch.full((6, 7), .2)
    codes[:, 6] = 0
    each = 6 * .1444444
    loss = anchor_code_loss(codes, torch.zeros(6, 7), positives)
    assert loss.item() == pytest.approx(2 / 3 * each, rel=1e-6)
    weighted = anchor_code_loss(codes, torch.zeros(6, 7), positives,
                                [.5] * 3 + [0.] * 4)
    assert weighted.item() == pytest.approx(each / 6, rel=1e-6)
    codes.requires_grad_()
    nothing = anchor_code_loss(codes, torch.zeros(6, 7), positives & False)
    assert nothing == 0 and nothing.requires_grad
