import pytest
import torch
from mmdet.models.losses import QualityFocalLoss

from mmkd.methods.crosskd.losses import (box_distance, class_distance,
                                         distribution_loss, edge_divergence,
                                         transfer_statistics)


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize('student, teacher, wanted', [
    ((0, 2), (1, 5), (1.000001414, 4.999998586)),
    ((1, 2, 4), (0, 0, 3), (-0.511856902, 0.622035774, 2.889821128)),
])
def test_transfer(student, teacher, wanted):
    found = transfer_statistics(
        double(*student).view(1, 1, 1, -1),
        double(*teacher).view(1, 1, 1, -1))
    torch.testing.assert_close(
        found.flatten(), double(*wanted), rtol=0, atol=1e-9)


def test_transfer_of_equal_maps_and_of_affine_changes():
    feat_s, feat_t = torch.randn(2, 2, 3, 4, 5, dtype=torch.float64)
    same = transfer_statistics(feat_t, feat_t)
    torch.testing.assert_close(same, feat_t, rtol=0, atol=1e-5)
    scale = double(0.5, 2., 3.).view(1, 3, 1, 1)
    torch.testing.assert_close(
        transfer_statistics(scale * feat_s - 7, feat_t),
        transfer_statistics(feat_s, feat_t),
        rtol=0,
        atol=1e-5)


def test_gradient_of_the_transfer():
    """Statistics of the student carry gradient, those of the teacher do not.
    """
    feat_s = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    feat_t = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x: transfer_statistics(x, feat_t.detach()), feat_s)
    transfer_statistics(feat_s, feat_t).square().sum().backward()
    assert feat_t.grad is None and feat_s.grad.any()


def test_channels_without_a_deviation():
    feat_t = torch.randn(2, 1, 2, 2)
    dead = torch.full((2, 1, 2, 2), 3., requires_grad=True)
    found = transfer_statistics(dead, feat_t)
    torch.testing.assert_close(found, feat_t.mean().expand_as(found))
    (found * torch.randn(2, 1, 2, 2)).sum().backward()
    assert not dead.grad.any()
    released = transfer_statistics(dead, feat_t, min_std=0)
    (released * torch.randn(2, 1, 2, 2)).sum().backward()
    assert dead.grad.abs().max() > 1e4
    single = torch.full((1, 1, 1, 1), 2., requires_grad=True)
    found = transfer_statistics(single, torch.full((1, 1, 1, 1), 5.))
    found.sum().backward()
    assert found == 5 and single.grad == 0


def test_classes():
    logits_x = double([0, 2], [-1, 3]).requires_grad_()
    logits_t = double([1, -1], [-1, 0]).requires_grad_()
    found = class_distance(logits_x, logits_t)
    wanted = double([0.160157602, 0.972266275], [0, 0.700850568])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)
    assert (found.sum() / 2).item() == pytest.approx(0.916637223, abs=1e-9)
    found.sum().backward()
    wanted = double([-0.226674862, 0.541206894], [0, 0.274783344])
    torch.testing.assert_close(logits_x.grad, wanted, rtol=0, atol=1e-9)
    assert logits_t.grad is None
    # The target 0.5 is met, although its entropy is ln 2.
    assert class_distance(double([0.]), double([0.])) == 0


@pytest.mark.parametrize('beta', [1.0, 2.0])
def test_classes_as_in_mmdet(beta):
    logits_x, logits_t = torch.randn(2, 6, 3)
    wanted = QualityFocalLoss(
        use_sigmoid=True, beta=beta, reduction='none')(logits_x,
                                                       logits_t.sigmoid())
    found = class_distance(logits_x, logits_t, beta)
    torch.testing.assert_close(found.sum(1), wanted)
    assert (found >= 0).all()


def test_slope_beside_equality():
    """A kink: the entropy of the target times the slope of the sigmoid."""
    logits_t = double([0.7])
    target = logits_t.sigmoid()
    entropy = -(target * target.log() + (1 - target) * (1 - target).log())
    for side in (1, -1):
        logits_x = (logits_t + side * 1e-9).requires_grad_()
        class_distance(logits_x, logits_t).sum().backward()
        torch.testing.assert_close(logits_x.grad,
                                   side * entropy * target * (1 - target))


def test_edges():
    box_x, box_t = double([0, 1, 2] * 4), double([2, 1, 0] * 4)
    found = edge_divergence(box_x, box_t, 3)
    assert found.item() / 4 == pytest.approx(1.150420765, abs=1e-9)
    assert edge_divergence(box_t + 5, box_t, 3).item() == pytest.approx(
        0, abs=1e-12)


def test_weights_of_the_edges():
    distances = [double(0.1 + 0.2 + 0.3 + 0.4), double(4 * 0.4)]
    found = distribution_loss(distances, [double(0.7), double(0.3)])
    assert 4 * found.item() == pytest.approx(1.18)
    assert distribution_loss(distances, [double(0.)] * 2) == 0


def test_boxes():
    boxes = double([0, 0, 4, 4]), double([2, 1, 6, 5])
    found = box_distance(*boxes, log_iou=False)
    assert found.item() == pytest.approx(0.902564103, abs=1e-9)
    found = box_distance(*boxes, log_iou=True).exp()
    assert 1 / found.item() == pytest.approx(6 / 26, abs=1e-9)


def test_degenerate_boxes_stay_finite():
    boxes = torch.tensor([[1., 1., 1., 3.], [9., 9., 8., 8.]],
                         requires_grad=True)
    for log_iou in (False, True):
        found = box_distance(boxes, torch.tensor([[0., 0, 4, 4]] * 2), log_iou)
        gradient, = torch.autograd.grad(found.sum(), boxes)
        assert found.isfinite().all() and gradient.isfinite().all()


@pytest.mark.parametrize('beta', [0, 1, 1.5, 2])
def test_gradient_at_equal_scores(beta):
    logits = double(0.5, -2.).view(1, 2).requires_grad_()
    class_distance(logits, logits.detach(), beta).sum().backward()
    assert logits.grad.isfinite().all()
