import pytest
import torch

from mmkd.ops.divergences import kl_divergence


def some_cells(num_images, height, width):
    valid = torch.ones((num_images, 1, height, width), dtype=torch.bool)
    valid[0, 0, 1:, :2] = False
    return valid


@pytest.mark.parametrize('tau', [1.0, 4.0])
@pytest.mark.parametrize('masked', [False, True])
def test_formula(reference, pair, tau, masked):
    logits_s, logits_t = pair(2, 5, 3, 4)
    valid = some_cells(2, 3, 4) if masked else None
    value = kl_divergence(logits_s, logits_t, tau, valid)
    expected = reference.kl_divergence(logits_s, logits_t, tau, valid)
    assert value.shape == () and value.dtype == torch.float32
    assert value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('tau, stored', [(1.0, 0.1103618), (4.0, 0.2038253)])
def test_stored_number(tau, stored):
    logits_t = torch.tensor([[[[2., 1.], [3., 0.]], [[0., 2.], [-1., 1.]],
                              [[1., 0.], [0., -1.]]]])
    logits_s = torch.tensor([[[[1., 1.], [2., 0.]], [[0., 1.], [0., 1.]],
                              [[0., 0.], [1., 0.]]]])
    value = kl_divergence(logits_s, logits_t, tau)
    assert value.item() == pytest.approx(stored, abs=1e-6)


def test_equal_logits_give_zero(pair):
    logits_s, _ = pair(2, 5, 3, 4)
    value = kl_divergence(logits_s, logits_s.detach().clone(), 2.0)
    value.backward()
    assert value.item() == 0
    assert logits_s.grad.abs().max() < 1e-7


def test_gradient_reaches_the_student_alone(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    kl_divergence(logits_s, logits_t).backward()
    assert logits_s.grad.abs().sum() > 0 and logits_t.grad is None


def test_gradient_is_right():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 2, 3, 2, 2), generator=generator).double()
    valid = torch.tensor([[[1, 1], [0, 1]], [[0, 0], [1, 0]]]).bool()
    logits_s = logits[0].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: kl_divergence(z, logits[1], 2.0, valid), logits_s)


def test_batch_is_mean_of_singles(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    valid = some_cells(2, 3, 4)
    singles = [
        kl_divergence(logits_s[i:i + 1], logits_t[i:i + 1], 2.0,
                      valid[i:i + 1]) for i in range(2)
    ]
    value = kl_divergence(logits_s, logits_t, 2.0, valid)
    assert torch.allclose(value, sum(singles) / 2)


def test_invalid_cells_do_not_matter(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    valid = some_cells(2, 3, 4)
    value = kl_divergence(logits_s, logits_t, 1.0, valid)
    spoilt = logits_s.detach().masked_fill(~valid, float('nan'))
    spoilt.requires_grad_()
    again = kl_divergence(spoilt, logits_t.masked_fill(~valid, float('inf')),
                          1.0, valid[:, 0])
    again.backward()
    assert torch.equal(value, again)
    assert spoilt.grad.isfinite().all()
    assert (spoilt.grad * ~valid == 0).all()


def test_no_valid_cell_gives_attached_zero(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    valid = torch.zeros((2, 1, 3, 4), dtype=torch.bool)
    value = kl_divergence(logits_s, logits_t, 1.0, valid)
    value.backward()
    assert value.item() == 0
    assert torch.equal(logits_s.grad, torch.zeros_like(logits_s))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_mixed_precision(pair, dtype):
    logits_s, logits_t = pair(2, 5, 3, 4, scale=1e4)
    half_s = logits_s.detach().clamp(-3e4, 3e4).to(dtype).requires_grad_()
    half_t = logits_t.detach().clamp(-3e4, 3e4).to(dtype)
    with torch.autocast('cpu', torch.bfloat16):
        value = kl_divergence(half_s, half_t)
    value.backward()
    assert value.dtype == torch.float32 and value.isfinite()
    assert half_s.grad.dtype == dtype and half_s.grad.isfinite().all()
    assert torch.equal(value, kl_divergence(half_s.float(), half_t.float()))


def test_non_contiguous(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    value = kl_divergence(logits_s.transpose(2, 3), logits_t.transpose(2, 3))
    assert torch.allclose(value, kl_divergence(logits_s, logits_t))


def test_wrong_arguments(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    with pytest.raises(ValueError, match='one shape'):
        kl_divergence(logits_s, logits_t[:, :4])
    with pytest.raises(ValueError, match='tau'):
        kl_divergence(logits_s, logits_t, 0.0)
    with pytest.raises(ValueError, match='valid cells'):
        kl_divergence(logits_s, logits_t, 1.0, torch.ones(2, 1, 3, 3))
