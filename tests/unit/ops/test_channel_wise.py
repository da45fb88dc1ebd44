import math

import pytest
import torch
import torch.nn.functional as F

from mmkd.ops.channel_wise import channel_wise_divergence, spatial_log_softmax


def some_cells(num_images, height, width):
    valid = torch.ones((num_images, 1, height, width), dtype=torch.bool)
    valid[0, 0, 1:, :2] = False
    return valid


@pytest.mark.parametrize('tau', [1.0, 4.0])
@pytest.mark.parametrize('masked', [False, True])
def test_formula(reference, pair, tau, masked):
    logits_s, logits_t = pair(2, 5, 3, 4)
    valid = some_cells(2, 3, 4) if masked else None
    value = channel_wise_divergence(logits_s, logits_t, tau, valid)
    expected = reference.channel_wise_divergence(logits_s, logits_t, tau,
                                                 valid)
    assert value.shape == () and value.dtype == torch.float32
    assert value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('tau, stored', [(1.0, 0.2092853), (4.0, 0.2414688)])
def test_stored_number(tau, stored):
    logits_t = torch.tensor([[[[2., 1.], [3., 0.]], [[0., 2.], [-1., 1.]],
                              [[1., 0.], [0., -1.]]]])
    logits_s = torch.tensor([[[[1., 1.], [2., 0.]], [[0., 1.], [0., 1.]],
                              [[0., 0.], [1., 0.]]]])
    value = channel_wise_divergence(logits_s, logits_t, tau)
    assert value.item() == pytest.approx(stored, abs=1e-6)


def test_value_by_hand():
    # Probabilities 1/2, 1/2 of the student and 3/4, 1/4 of the teacher.
    logits_s = torch.zeros(1, 1, 1, 2)
    logits_t = torch.tensor([[[[4 * math.log(3), 0.]]]])
    value = channel_wise_divergence(logits_s, logits_t, 4.0)
    expected = 16 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert value.item() == pytest.approx(expected, rel=1e-5)  # 2.0930


def test_valid_cells_hold_all_mass(pair):
    logits, _ = pair(2, 5, 3, 4)
    valid = some_cells(2, 3, 4)
    prob = spatial_log_softmax(logits, 2.0, valid).exp()
    cells = valid.flatten(2).expand_as(prob)
    assert torch.allclose(prob.sum(2), torch.ones(2, 5))
    assert (prob[~cells] == 0).all() and (prob[cells] > 0).all()


def test_equal_logits_give_zero(pair):
    logits_s, _ = pair(2, 5, 3, 4)
    value = channel_wise_divergence(logits_s, logits_s.detach().clone(), 4.0)
    value.backward()
    assert value.item() == 0
    assert logits_s.grad.abs().max() < 1e-7


def test_constant_of_a_channel_does_not_matter(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    value = channel_wise_divergence(logits_s, logits_t)
    shift = torch.arange(5.).view(1, 5, 1, 1)
    assert torch.allclose(
        value,
        channel_wise_divergence(logits_s + shift, logits_t - shift),
        rtol=1e-4)


def test_gradient_reaches_the_student_alone(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    channel_wise_divergence(logits_s, logits_t).backward()
    assert logits_s.grad.abs().sum() > 0 and logits_t.grad is None


def test_gradient_is_right():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 2, 3, 2, 2), generator=generator).double()
    valid = torch.tensor([[[1, 1], [0, 1]], [[0, 0], [0, 0]]]).bool()
    logits_s = logits[0].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: channel_wise_divergence(z, logits[1], 2.0, valid), logits_s)


def test_batch_is_mean_of_singles(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    valid = some_cells(2, 3, 4)
    singles = [
        channel_wise_divergence(logits_s[i:i + 1], logits_t[i:i + 1], 2.0,
                                valid[i:i + 1]) for i in range(2)
    ]
    value = channel_wise_divergence(logits_s, logits_t, 2.0, valid)
    assert torch.allclose(value, sum(singles) / 2)


def test_invalid_cells_do_not_matter(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    valid = some_cells(2, 3, 4)
    value = channel_wise_divergence(logits_s, logits_t, 1.0, valid)
    spoilt = logits_s.detach().masked_fill(~valid, float('nan'))
    spoilt.requires_grad_()
    again = channel_wise_divergence(spoilt,
                                    logits_t.masked_fill(~valid, float('inf')),
                                    1.0, valid[:, 0])
    again.backward()
    assert torch.equal(value, again)
    assert spoilt.grad.isfinite().all()
    assert (spoilt.grad * ~valid == 0).all()


def test_no_valid_cell_gives_attached_zero(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    valid = torch.zeros((2, 1, 3, 4), dtype=torch.bool)
    with torch.autograd.set_detect_anomaly(True):
        value = channel_wise_divergence(logits_s, logits_t, 1.0, valid)
        value.backward()
    assert value.item() == 0
    assert torch.equal(logits_s.grad, torch.zeros_like(logits_s))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_mixed_precision(pair, dtype):
    logits_s, logits_t = pair(2, 5, 3, 4, scale=1e4)
    half_s = logits_s.detach().clamp(-3e4, 3e4).to(dtype).requires_grad_()
    half_t = logits_t.detach().clamp(-3e4, 3e4).to(dtype)
    with torch.autocast('cpu', torch.bfloat16):
        value = channel_wise_divergence(half_s, half_t, 1.0,
                                        some_cells(2, 3, 4))
    value.backward()
    assert value.dtype == torch.float32 and value.isfinite()
    assert half_s.grad.dtype == dtype and half_s.grad.isfinite().all()


def test_non_contiguous(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    value = channel_wise_divergence(
        logits_s.transpose(2, 3), logits_t.transpose(2, 3))
    assert torch.allclose(value, channel_wise_divergence(logits_s, logits_t))


def test_is_the_common_form(pair):
    # One row per image and channel, the sum of the divergences scaled by
    # tau squared over the number of rows.
    logits_s, logits_t = pair(2, 5, 3, 4)
    rows_s, rows_t = (
        z.detach().reshape(-1, 12) / 4 for z in (logits_s, logits_t))
    rows = F.kl_div(rows_s.log_softmax(1), rows_t.softmax(1), reduction='sum')
    assert torch.allclose(
        channel_wise_divergence(logits_s, logits_t, 4.0), rows * 16 / 10)


def test_wrong_arguments(pair):
    logits_s, logits_t = pair(2, 5, 3, 4)
    with pytest.raises(ValueError, match='one shape'):
        channel_wise_divergence(logits_s, logits_t[:, :, :2])
    with pytest.raises(ValueError, match='tau'):
        channel_wise_divergence(logits_s, logits_t, -1.0)
