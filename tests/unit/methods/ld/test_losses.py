import pytest
import torch
from mmdet.models.losses.kd_loss import knowledge_distillation_kl_div_loss

from mmkd.methods.ld.losses import (imitated_cells, imitation_loss,
                                    mean_divergence, valuable_region)


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize('tau, wanted', [(10, 0.443705305), (2, 0.426875557),
                                         (1, 0.383473588)])
def test_divergence(tau, wanted):
    student, teacher = double(0, 1, 2), double(2, 1, 0).requires_grad_()
    student.requires_grad_()
    found = mean_divergence(student, teacher, tau)
    assert found.item() == pytest.approx(wanted, abs=1e-9)
    found.backward()
    assert teacher.grad is None and student.grad.any()
    # A constant in each edge is no difference.
    assert mean_divergence(student + 7, student, tau).abs().item() < 1e-12


def test_divergence_as_in_mmdet():
    student, teacher = torch.randn(2, 5, 17)
    torch.testing.assert_close(
        mean_divergence(student, teacher, 10.),
        knowledge_distillation_kl_div_loss(
            student, teacher, T=10, reduction='none'))


def test_high_temperatures_compare_centred_logits():
    student, teacher = torch.randn(2, 17, dtype=torch.float64)
    wanted = (student - teacher).var(unbiased=False) / (2 * 17)
    torch.testing.assert_close(
        mean_divergence(student, teacher, 1e4), wanted, rtol=1e-3, atol=0)


ANCHORS = [
    double([0, 0, 8, 8], [8, 0, 16, 8], [0, 8, 8, 16], [8, 8, 16, 16]),
    double([-4, -4, 12, 12], [4, -4, 20, 12], [-4, 4, 12, 20], [4, 4, 20, 20])
]
BOX = double([1, 2, 11, 12])
INSIDE = torch.ones(8, dtype=torch.bool)


@pytest.mark.parametrize('released, wanted', [
    (False,
     (.344262295, 0, .205882353, 0, 0, .244755245, .289855072, .186666667)),
    (True, (0, .123287671, 0, 0, 0, .244755245, .289855072, .186666667)),
])
def test_region(released, wanted):
    found = valuable_region(ANCHORS, INSIDE, BOX, released=released)
    torch.testing.assert_close(found, double(*wanted), rtol=0, atol=1e-9)


def test_bounds_of_the_region():
    """The threshold of the box is 0.339435240."""
    whole = valuable_region(ANCHORS, INSIDE, BOX, lower=0)
    assert (whole > 0).sum() >= 5
    assert not valuable_region(ANCHORS, INSIDE, BOX, lower=1).any()


def test_anchors_outside_of_the_image():
    """They are no candidates and not in the region, as if they were not
    there."""
    inside = torch.tensor([True] * 4 + [False, True, False, True])
    found = valuable_region(ANCHORS, inside, BOX)
    kept = valuable_region([ANCHORS[0], ANCHORS[1][[1, 3]]], INSIDE[:6], BOX)
    assert found[inside].equal(kept) and not found[~inside].any()


def test_few_anchors_and_objects():
    anchor = ANCHORS[0][:1]
    # A single candidate: its IoU is the threshold, and its DIoU is below.
    found = valuable_region([anchor], INSIDE[:1], BOX)
    torch.testing.assert_close(found, double(.344262295), rtol=0, atol=1e-9)
    assert not valuable_region(ANCHORS, INSIDE, BOX[:0]).any()
    assert not valuable_region(ANCHORS, ~INSIDE, BOX).any()


def test_the_largest_of_several_objects():
    other = double([8, 0, 16, 9])
    both = valuable_region(ANCHORS, INSIDE, torch.cat([BOX, other]))
    alone = [valuable_region(ANCHORS, INSIDE, x) for x in (BOX, other)]
    assert both.equal(torch.maximum(*alone))


def test_imitated_cells():
    """The best IoU is 0.390625; two centres are inside of the box."""
    for region, wanted in (('finegrained', [0, 2, 4, 5, 6]), ('fitnet', [0,
                                                                         4])):
        found = imitated_cells(ANCHORS, BOX, region)
        assert found.nonzero().flatten().tolist() == wanted
        assert not imitated_cells(ANCHORS, BOX[:0], region).any()


def test_imitation_loss():
    feat_s = torch.arange(8.).view(1, 2, 2, 2).requires_grad_()
    cells = torch.tensor([[True, False, False, True]])
    found = imitation_loss(feat_s, torch.ones(1, 2, 2, 2), cells)
    # (-1, 3) and (2, 6)
    assert found.item() == (1 + 9 + 4 + 36) / 4
    empty = imitation_loss(feat_s, torch.ones(1, 2, 2, 2), ~cells & cells)
    empty.backward()
    assert empty == 0 and not feat_s.grad.any()
