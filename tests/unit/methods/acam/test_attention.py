import pytest
import torch

from mmkd.methods.acam.attention import cross_attention


def explicit(query, key, value):
    """The formula, with the whole matrix."""
    scale = query.size(1)**-0.5
    attention = (scale * torch.einsum('ncp,ncj->npj', query.flatten(2),
                                      key.flatten(2))).softmax(2)
    assert torch.allclose(
        attention.sum(2), torch.ones_like(attention[:, :, 0]), atol=1e-6)
    mixed = torch.einsum('npj,ncj->ncp', attention, value.flatten(2))
    return mixed.reshape(*mixed.shape[:2], *query.shape[2:])


def maps(inner=3, channels=5, size_q=(4, 5), size_k=(3, 7), **kwargs):
    return [
        torch.randn(2, width, *size, **kwargs).requires_grad_()
        for width, size in ((inner, size_q), (inner, size_k), (channels,
                                                               size_k))
    ]


@pytest.mark.parametrize('chunk_size', [0, 6, 1000])
@pytest.mark.parametrize('inner, channels', [(3, 5), (9, 19), (8, 8), (7, 4)])
def test_values_and_gradients(inner, channels, chunk_size):
    inputs = maps(inner, channels, dtype=torch.float64)
    weight = torch.randn(2, channels, 4, 5, dtype=torch.float64)
    found = cross_attention(*inputs, chunk_size=chunk_size)
    expected = explicit(*inputs)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(
            torch.autograd.grad((found * weight).sum(), inputs),
            torch.autograd.grad((expected * weight).sum(), inputs)):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize('channels', [19, 256])
def test_single_precision(channels):
    inputs = maps(max(1, channels // 2), channels, (12, 10), (9, 11))
    assert torch.allclose(
        cross_attention(*inputs), explicit(*inputs), atol=1e-5)


def test_one_key():
    query, key, value = maps(size_q=(1, 1), size_k=(1, 1))
    assert torch.allclose(cross_attention(query, key, value), value)


@pytest.mark.parametrize('chunk_size', [0, 256])
def test_nothing_quadratic_is_kept(chunk_size):
    inputs = maps(4, 8, (40, 40), (40, 40))
    sizes = []

    def note(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        cross_attention(*inputs, chunk_size=chunk_size)
    # Tokens of width 8 for each image; the matrix has 2 * 1600**2 numbers.
    assert sizes and max(sizes) <= 2 * 8 * 40 * 40


def test_without_gradient():
    with torch.no_grad():
        inputs = maps()
        assert torch.allclose(
            cross_attention(*inputs, chunk_size=7),
            explicit(*inputs),
            atol=1e-6)


@pytest.mark.parametrize('chunk_size', [0, 6])
def test_half_precision_of_autocast(chunk_size):
    inputs = maps(9, 19)
    with torch.autocast('cpu', torch.bfloat16):
        found = cross_attention(*inputs, chunk_size=chunk_size)
    expected = explicit(*inputs)
    assert torch.allclose(found.float(), expected, atol=0.05)
    for ours, theirs in zip(
            torch.autograd.grad(found.float().square().sum(), inputs),
            torch.autograd.grad(expected.square().sum(), inputs)):
        assert ours.dtype == torch.float32
        assert torch.allclose(ours, theirs, rtol=0.05, atol=0.1)


def test_wrong_shapes():
    query, key, value = maps()
    with pytest.raises(ValueError, match='same channels'):
        cross_attention(value, key, value)
    with pytest.raises(ValueError, match='same size'):
        cross_attention(query, key, value[..., :2])
