import pytest
import torch
import torch.nn.functional as F

from mmkd.methods.feature_kd.losses import feature_loss

# Two cells: (1, 1), (1, -1) of the student; (1, 2), (0, -1) of the teacher.
S = torch.tensor([[1., 1], [1, -1]]).T.reshape(1, 2, 1, 2)
T = torch.tensor([[1., 2], [0, -1]]).T.reshape(1, 2, 1, 2)


@pytest.mark.parametrize('weights, expected', [
    (dict(cosine=1., smooth_l1=0.), 0.172105),
    (dict(cosine=0., smooth_l1=1.), 0.25),
    (dict(), 0.179894),
    (dict(cosine=0., smooth_l1=0., mse=1.), 0.5),
])
def test_by_hand(weights, expected):
    assert feature_loss(S, T, **weights).item() == pytest.approx(
        expected, rel=1e-5)
    assert feature_loss(T, T, **weights).item() == pytest.approx(0, abs=1e-7)


def test_cosine_of_whole_maps():
    found = feature_loss(S, T, cosine=1., smooth_l1=0., whole=True)
    assert found.item() == pytest.approx(1 - 4 / (4 * 6)**.5, rel=1e-5)
    valid = torch.tensor([True, False]).reshape(1, 1, 1, 2)
    found = feature_loss(S, T, valid, cosine=1., smooth_l1=0., whole=True)
    assert found.item() == pytest.approx(1 - 3 / 10**.5, rel=1e-5)


def test_only_valid_cells_count():
    valid = torch.tensor([True, False]).reshape(1, 1, 1, 2)
    feat_s = S.clone().requires_grad_()
    loss = feature_loss(feat_s, T, valid, cosine=1., smooth_l1=0.)
    assert loss.item() == pytest.approx(1 - 3 / 10**.5, rel=1e-5)
    loss.backward()
    assert feat_s.grad[..., 0].any() and not feat_s.grad[..., 1].any()


def test_no_direction():
    zero = torch.zeros(1, 2, 1, 2, requires_grad=True)
    loss = feature_loss(zero, T.half())
    loss.backward()
    assert loss.isfinite() and zero.grad.isfinite().all()


@pytest.mark.parametrize('size_s, size_t', [(1e-6, 0), (1e-4, 0), (0, 1e-6),
                                            (1e-7, 1e-7), (1e10, 1e10)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_extreme_sizes(dtype, size_s, size_t):
    """As torch has it, never NaN."""
    if dtype == torch.float16:
        size_s, size_t = min(size_s, 1e3), min(size_t, 1e3)
    grads = []
    for function in (lambda s, t: feature_loss(s, t, cosine=1., smooth_l1=0.),
                     lambda s, t: 1 - F.cosine_similarity(s, t).mean()):
        given = (size_s * S).to(dtype).requires_grad_()
        function(given.float(), (size_t * T).to(dtype).float()).backward()
        grads.append(given.grad)
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize('layout',
                         [torch.contiguous_format, torch.channels_last])
def test_same_as_the_functions_of_torch(layout):
    """Values and gradients, with cells without direction on either side."""
    generator = torch.Generator().manual_seed(0)
    feat_s, feat_t = (
        torch.randn(
            2, 6, 3, 4,
            generator=generator).mul(3).contiguous(memory_format=layout)
        for _ in range(2))
    feat_s[0, :, 0, 0] = feat_t[0, :, 1, 1] = 0
    grads = []
    for function in (lambda x: feature_loss(x, feat_t), lambda x: 0.9 *
                     (1 - F.cosine_similarity(x, feat_t)).mean(
                     ) + 0.1 * F.smooth_l1_loss(x, feat_t)):
        given = feat_s.clone().requires_grad_()
        loss = function(given)
        loss.backward()
        grads.append((loss.detach(), given.grad))
    # At zero, the cosine has no derivative.
    for _, grad in grads:
        grad[0, :, 0, 0] = 0
    torch.testing.assert_close(*grads)
