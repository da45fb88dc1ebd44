import pytest
import torch
import torch.nn.functional as F

from mmkd.ops.vectors import unit


def test_vectors_of_length_1():
    half = torch.tensor([300., 400]).half()
    assert unit(half).dtype == torch.float32
    assert unit(half).tolist() == pytest.approx([0.6, 0.8])
    maps = torch.randn(2, 3, 4).double()
    for dim in (-1, 1):
        found = unit(maps, dim)
        assert found.dtype == torch.double
        torch.testing.assert_close(found, F.normalize(maps, dim=dim))


def test_zero_vectors_get_no_gradient():
    vectors = torch.tensor([[0., 0], [3, 4]], requires_grad=True)
    found = unit(vectors)
    assert found[0].tolist() == [0, 0]
    (found * torch.tensor([1., 2])).sum().backward()
    assert not vectors.grad[0].any() and vectors.grad[1].all()
