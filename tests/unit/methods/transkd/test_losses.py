import pytest
import torch
import torch.nn.functional as F

from mmkd.methods.transkd.losses import (embedding_loss,
                                         hierarchical_context_loss)

SIZES = [(1, 3), (1, 1), (2, 2), (3, 5), (4, 4), (5, 3), (7, 9), (8, 8),
         (17, 26)]


def plain(feat_s, feat_t):
    """The released form: pools both maps, halves at each level in use."""
    height = feat_s.size(2)
    loss, weight, total = F.mse_loss(feat_s, feat_t), 1.0, 1.0
    for level in (4, 2, 1):
        if level >= height:
            continue
        weight /= 2
        total += weight
        loss = loss + weight * F.mse_loss(
            F.adaptive_avg_pool2d(feat_s, (level, level)),
            F.adaptive_avg_pool2d(feat_t, (level, level)))
    return loss / total


@pytest.mark.parametrize('size', SIZES)
def test_formula(pair, size):
    feat_s, feat_t = pair(2, 3, *size)
    value = hierarchical_context_loss(feat_s, feat_t)
    assert value.shape == ()
    assert torch.allclose(value, plain(feat_s, feat_t), rtol=1e-5)
    assert torch.allclose(
        value, hierarchical_context_loss(feat_t, feat_s), rtol=1e-6)
    assert torch.allclose(
        9 * value,
        hierarchical_context_loss(3 * feat_s, 3 * feat_t),
        rtol=1e-5)


@pytest.mark.parametrize('size', SIZES)
def test_constant_offset(pair, size):
    # Every level gives d^2, and the weights add up to 1.
    feat, _ = pair(2, 3, *size)
    assert hierarchical_context_loss(feat, feat.detach().clone()) == 0
    value = hierarchical_context_loss(feat + 0.5, feat)
    assert value.item() == pytest.approx(0.25, rel=1e-4)


def test_by_hand():

    def loss(gap):
        gap = torch.tensor(gap)[None, None]
        return hierarchical_context_loss(gap, torch.zeros_like(gap)).item()

    # One row: the plain mean of 1, 4 and 9.
    assert loss([[1., 2., 3.]]) == pytest.approx(14 / 3)
    # Two rows: 21, and at half weight the mean 4 squared.
    assert loss([[1., 3.], [5., 7.]]) == pytest.approx((21 + 8) / 1.5)
    # Four rows: 4; 2x2 averages (4, 0, 0, 0); the mean 1.
    gap = [[4., 4., 0., 0.]] * 2 + [[0.] * 4] * 2
    assert loss(gap) == pytest.approx((4 + 2 + 0.25) / 1.75)
    # Eight rows, half of them 2: 2, 2 and 2; the mean 1.
    gap = [[2.] * 8] * 4 + [[0.] * 8] * 4
    assert loss(gap) == pytest.approx((2 + 1 + 0.5 + 0.125) / 1.875)


def test_gradient(pair):
    feat_s, feat_t = pair(1, 1, 3, 4)
    hierarchical_context_loss(feat_s, feat_t).backward()
    assert feat_s.grad.abs().min() > 0 and feat_t.grad is None
    feat_s = feat_s.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: hierarchical_context_loss(x, feat_t.double()), feat_s)


def test_embedding_loss(pair):
    tokens_s, tokens_t = pair(2, 6, 4)
    value = embedding_loss(tokens_s, tokens_t)
    expected = sum((a - b)**2
                   for a, b in zip(tokens_s.flatten().tolist(),
                                   tokens_t.flatten().tolist())) / 48
    assert value.item() == pytest.approx(expected, rel=1e-5)
    value.backward()
    assert tokens_t.grad is None
    assert torch.allclose(tokens_s.grad, (tokens_s - tokens_t).detach() / 24)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision(pair, dtype):
    # 400^2 is beyond float16.
    for loss, shape in ((hierarchical_context_loss, (2, 3, 6, 5)),
                        (embedding_loss, (2, 6, 4))):
        student = torch.full(shape, 400.0, dtype=dtype, requires_grad=True)
        with torch.autocast('cpu', torch.bfloat16):
            value = loss(student, torch.zeros(shape, dtype=dtype))
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(400**2, rel=1e-3)
        value.backward()
        assert student.grad.dtype == dtype and student.grad.isfinite().all()


def test_nothing_is_broadcast(pair):
    feat_s, feat_t = pair(2, 3, 4, 4)
    with pytest.raises(ValueError, match='one shape'):
        hierarchical_context_loss(feat_s, feat_t[:, :, :1])
    with pytest.raises(ValueError, match='one shape'):
        hierarchical_context_loss(feat_s[0], feat_t[0])
    with pytest.raises(ValueError, match='one shape'):
        embedding_loss(torch.ones(1, 4, 2), torch.ones(1, 1, 2))
