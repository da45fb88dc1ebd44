import pytest
import torch

from mmkd.methods.pkd.losses import pearson_loss


def double(values, *shape):
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def test_golden_value_and_gradient():
    feat_s = double([1, 2, 3, 4], 1, 1, 2, 2).requires_grad_()
    feat_t = double([2, 1, 4, 3], 1, 1, 2, 2)
    loss = pearson_loss(feat_s, feat_t)
    assert loss.item() == pytest.approx(0.299999535, abs=1e-9)
    loss.backward()
    expected = [-0.059999977, 0.179999698, -0.179999698, 0.059999977]
    assert feat_s.grad.flatten().tolist() == pytest.approx(expected, abs=1e-9)


def test_two_channels():
    feat_s = double([1, 2, 3, 4, 4, 3, 2, 1], 1, 2, 2, 2)
    feat_t = double([2, 1, 4, 3] * 2, 1, 2, 2, 2)
    assert pearson_loss(feat_s, feat_t).item() == pytest.approx(
        0.749998838, abs=1e-9)


def test_statistics_are_of_the_batch():
    feat_s = double([0, 1, 2, 5], 2, 1, 1, 2)
    feat_t = double([1, 0, 0, 2], 2, 1, 1, 2)
    assert pearson_loss(feat_s, feat_t).item() == pytest.approx(
        0.266505820, abs=1e-9)


def test_identity_with_the_correlation(tensors):
    feat_s, feat_t = (x.detach().double() for x in tensors(2, 3, 5, 4))
    rows = [x.transpose(0, 1).flatten(1) for x in (feat_s, feat_t)]
    r = torch.stack([torch.corrcoef(torch.stack(p))[0, 1] for p in zip(*rows)])
    assert pearson_loss(feat_s, feat_t).item() == pytest.approx(
        (39 / 40 * (1 - r).mean()).item(), rel=1e-5)
    assert pearson_loss(feat_t, feat_s).item() == pytest.approx(
        pearson_loss(feat_s, feat_t).item(), rel=1e-12)


def test_scale_and_shift_do_not_matter(tensors):
    feat, _ = (x.detach().double() for x in tensors(2, 3, 5, 4))
    assert pearson_loss(3 * feat + 2, feat) < 1e-11
    assert pearson_loss(-3 * feat + 2, feat).item() == pytest.approx(
        2 * 39 / 40, rel=1e-5)


@pytest.mark.parametrize('min_std, gradient', [(1e-6, False), (0, True)])
def test_dead_channel_of_the_student(min_std, gradient):
    feat_s = double([7] * 4, 1, 1, 2, 2).requires_grad_()
    feat_t = double([2, 1, 4, 3], 1, 1, 2, 2)
    loss = pearson_loss(feat_s, feat_t, min_std)
    assert loss.item() == pytest.approx(3 / 8, rel=1e-5)
    loss.backward()
    if gradient:
        expected = -(feat_t - 2.5) / feat_t.std() / 4 * 1e6
        assert torch.allclose(feat_s.grad, expected, rtol=1e-5)
    else:
        assert torch.equal(feat_s.grad, torch.zeros_like(feat_s))


def test_dead_channel_of_the_teacher():
    feat_s = double([2, 1, 4, 3], 1, 1, 2, 2).requires_grad_()
    loss = pearson_loss(feat_s, double([7] * 4, 1, 1, 2, 2))
    assert loss.item() == pytest.approx(3 / 8, rel=1e-5)
    loss.backward()
    assert feat_s.grad.abs().max() < 1e-5


def test_a_single_position_is_an_attached_zero():
    feat_s = torch.ones(1, 3, 1, 1, requires_grad=True)
    loss = pearson_loss(feat_s, torch.ones(1, 3, 1, 1))
    loss.backward()
    assert loss == 0 and torch.equal(feat_s.grad, torch.zeros_like(feat_s))
