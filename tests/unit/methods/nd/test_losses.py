import pytest
import torch

from mmkd.methods.nd.losses import norm_direction_distance

MEANS = torch.tensor([[3., 4.], [0., 2.], [0., 0.]])
UNIT = torch.tensor([.6, .8])


def distance(emb_s, emb_t, labels, **kwargs):
    return norm_direction_distance(
        torch.as_tensor(emb_s), torch.as_tensor(emb_t), MEANS,
        torch.as_tensor(labels), **kwargs)


@pytest.mark.parametrize(
    'emb_s, emb_t, value',
    [
        (5 * UNIT, 2 * UNIT, 0),  # along the mean and long enough
        (MEANS[0], MEANS[0], 0),
        (2 * UNIT, 4 * UNIT, .5),  # half as long
        (-3 * UNIT, 3 * UNIT, 2),
        (0 * UNIT, UNIT, 1),
        (0 * UNIT, 0 * UNIT, 1),  # NaN in the released code
    ])
def test_by_hand(emb_s, emb_t, value):
    found = distance(emb_s[None], emb_t[None], [0])
    assert found.item() == pytest.approx(value, abs=1e-6)


def test_gradients():
    unit = MEANS[:2] / MEANS[:2].norm(dim=1, keepdim=True)
    # Shorter than the teacher's: along the direction, of its length.
    emb_s = torch.tensor([[.3, -.2], [.1, .4]], requires_grad=True)
    emb_t = torch.tensor([[2., 1.], [0., 3.]], requires_grad=True)
    distance(emb_s, emb_t, [0, 1]).backward()
    expected = -unit / emb_t.detach().norm(dim=1, keepdim=True) / 2
    assert torch.allclose(emb_s.grad, expected) and emb_t.grad is None
    # At least as long: none along itself.
    for factor in (1., 3.):
        emb_s = (factor * emb_t.detach()).requires_grad_()
        distance(emb_s, emb_t, [0, 1]).backward()
        along = (emb_s.grad * emb_s.detach()).sum(1)
        assert torch.allclose(along, torch.zeros(2), atol=1e-6)
        assert emb_s.grad[0].abs().sum() > 0
    # At zero, too.
    emb_s = torch.zeros(1, 2, requires_grad=True)
    distance(emb_s, emb_t[:1], [0]).backward()
    assert torch.allclose(emb_s.grad[0], -UNIT / emb_t[0].detach().norm())


def test_scales_and_what_is_left_out():
    torch.manual_seed(0)
    emb_s, emb_t = torch.randn(6, 2), torch.randn(6, 2)
    labels = torch.tensor([0, 1, 2, -1, 255, 1])
    found = distance(emb_s, emb_t, labels)
    # Class 2 has no mean, and two labels are none.
    kept = [0, 1, 5]
    assert found.item() == pytest.approx(
        distance(emb_s[kept], emb_t[kept], labels[kept]).item())
    loop = [
        1 - emb_s[i] @ (MEANS[labels[i]] / MEANS[labels[i]].norm()) /
        max(emb_s[i].norm(), emb_t[i].norm()) for i in kept
    ]
    assert found.item() == pytest.approx((sum(loop) / 3).item(), rel=1e-5)
    assert norm_direction_distance(
        emb_s, emb_t, 7 * MEANS, labels).item() == pytest.approx(found.item())
    some = distance(emb_s, emb_t, labels, included=labels == 0)
    assert some.item() == pytest.approx(
        distance(emb_s[:1], emb_t[:1], labels[:1]).item())
    assert distance(emb_s, emb_t, [2] * 6) == 0
    empty = torch.zeros(0, 2, requires_grad=True)
    nothing = distance(empty, emb_t[:0], labels[:0])
    assert nothing == 0 and nothing.requires_grad


def test_half_precision():
    # The squares of 1024 such values are beyond float16.
    emb = torch.full((2, 1024), 60., dtype=torch.float16)
    found = norm_direction_distance(emb, emb, torch.ones(1, 1024),
                                    torch.zeros(2, dtype=torch.long))
    assert found.dtype == torch.float32 and abs(found) < 1e-5
