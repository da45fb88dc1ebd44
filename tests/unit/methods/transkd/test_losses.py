import pytest
import torch

from mmkd.methods.transkd.losses import embedding_loss


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
    student = torch.full((2, 6, 4), 400., dtype=dtype, requires_grad=True)
    with torch.autocast('cpu', torch.bfloat16):
        value = embedding_loss(student, torch.zeros_like(student))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(400**2, rel=1e-3)
    value.backward()
    assert student.grad.dtype == dtype and student.grad.isfinite().all()


def test_nothing_is_broadcast():
    with pytest.raises(ValueError, match='one shape'):
        embedding_loss(torch.ones(1, 4, 2), torch.ones(1, 1, 2))
