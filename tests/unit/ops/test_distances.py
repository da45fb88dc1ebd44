import pytest
import torch
import torch.nn.functional as F

from mmkd.ops.distances import hierarchical_context_loss, squared_distance

SIZES = [(1, 3), (1, 1), (2, 2), (3, 5), (4, 4), (5, 3), (7, 9), (8, 8),
         (17, 26)]


def test_squared_distance_by_hand():
    feat_s, feat_t = torch.zeros(2, 1, 1, 2), torch.zeros(2, 1, 1, 2)
    feat_t[0, 0, 0] = torch.tensor([1., 3.])
    feat_t[1, 0, 0, 0] = 2
    assert squared_distance(feat_s, feat_t) == (1 + 9 + 4) / 2
    assert squared_distance(feat_s, feat_t, 'mean') == (1 + 9 + 4) / 4


def test_squared_distance_of_half_precision():
    # The sum over 16,384 cells of 3^2 is more than float16 can hold.
    feat_s = torch.zeros(1, 1, 128, 128, dtype=torch.float16)
    with torch.autocast('cpu', torch.bfloat16):
        loss = squared_distance(feat_s.requires_grad_(), feat_s.detach() + 3)
    loss.backward()
    assert loss.dtype == torch.float32 and loss == 9 * 128**2
    assert feat_s.grad.isfinite().all()


def test_squared_distance_of_wrong_arguments():
    feat = torch.zeros(1, 2, 3, 4)
    with pytest.raises(ValueError, match='one shape'):
        squared_distance(feat, feat[..., :2])
    with pytest.raises(ValueError, match='reduction'):
        squared_distance(feat, feat, 'sum')


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
def test_hierarchical_context_loss(pair, size):
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
def test_hierarchical_context_loss_of_a_constant_difference(pair, size):
    # Every level gives d^2, and the weights add up to 1.
    feat, _ = pair(2, 3, *size)
    assert hierarchical_context_loss(feat, feat.detach().clone()) == 0
    value = hierarchical_context_loss(feat + 0.5, feat)
    assert value.item() == pytest.approx(0.25, rel=1e-4)


def test_hierarchical_context_loss_by_hand():

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


def test_gradient_of_the_hierarchical_context_loss(pair):
    feat_s, feat_t = pair(1, 1, 3, 4)
    hierarchical_context_loss(feat_s, feat_t).backward()
    assert feat_s.grad.abs().min() > 0 and feat_t.grad is None
    feat_s = feat_s.detach().double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: hierarchical_context_loss(x, feat_t.double()), feat_s)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_hierarchical_context_loss_of_half_precision(dtype):
    # 400^2 is beyond float16.
    feat_s = torch.full((2, 3, 6, 5), 400., dtype=dtype, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        value = hierarchical_context_loss(feat_s, torch.zeros_like(feat_s))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(400**2, rel=1e-3)
    value.backward()
    assert feat_s.grad.dtype == dtype and feat_s.grad.isfinite().all()


def test_hierarchical_context_loss_broadcasts_nothing(pair):
    feat_s, feat_t = pair(2, 3, 4, 4)
    with pytest.raises(ValueError, match='one shape'):
        hierarchical_context_loss(feat_s, feat_t[:, :, :1])
    with pytest.raises(ValueError, match='one shape'):
        hierarchical_context_loss(feat_s[0], feat_t[0])
