import numpy as np
import pytest
import torch

from mmkd.core.cache.records import Layout, Stored, join


def through_bytes(stored):
    content = np.frombuffer(stored.to_bytes(), np.uint8)
    assert len(content) == sum(stored.layout.sizes)
    return Stored.from_bytes(content, stored.layout)


@pytest.mark.parametrize('kind, limit', [('fp32', 0), ('fp16', 1e-3),
                                         ('int8', 0.02)])
@pytest.mark.parametrize('shape', [(1, 5, 4, 6), (1, 7, 3), (1, 9),
                                   (1, 2, 3, 4, 5)])
def test_error_of_each_type(kind, limit, shape):
    tensor = torch.randn(shape) * 3
    stored = Stored.encode(tensor, kind)
    decoded = stored.decode()
    assert decoded.dtype == tensor.dtype and decoded.shape == tensor.shape
    assert (decoded - tensor).norm() <= limit * tensor.norm()
    assert through_bytes(stored).decode().equal(decoded)


def test_int8_scales_each_channel():
    tensor = torch.tensor([[1., 127.], [1000., -254.], [0., 0.]])
    stored = Stored.encode(tensor.view(1, 3, 1, 2), 'int8')
    assert stored.scale.flatten().tolist() == [1, torch.tensor(1000 / 127), 1]
    assert stored.values.flatten().tolist() == [1, 127, 127, -32, 0, 0]
    tokens = Stored.encode(tensor.T[None], 'int8')
    assert tokens.scale.flatten().tolist() == stored.scale.flatten().tolist()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_comes_back(dtype):
    tensor = torch.randn(1, 3, 4, 4).to(dtype)
    assert Stored.encode(tensor, 'fp32').decode().equal(tensor)
    assert Stored.encode(tensor, 'int8').decode().dtype == dtype


@pytest.mark.parametrize('kind', ['int8', 'fp16'])
@pytest.mark.parametrize('value', [float('nan'), float('inf'), 1e30])
def test_what_a_type_cannot_hold(kind, value):
    tensor = torch.randn(1, 3, 4, 4)
    tensor[0, 1, 0, 0] = value
    stored = through_bytes(Stored.encode(tensor, kind))
    if value == 1e30 and kind == 'int8':
        assert stored.layout.stored == torch.int8
    else:
        assert stored.layout.stored == torch.float32
        assert torch.equal(stored.decode().nan_to_num(), tensor.nan_to_num())


def test_joining_changes_no_value():
    cpu = torch.device('cpu')
    tensors = [torch.randn(1, 3, 2, 5), torch.randn(1, 3, 4, 3)]
    parts = [Stored.encode(tensor, 'int8') for tensor in tensors]
    joined = join(parts, (4, 5), cpu)
    assert joined.shape == (2, 3, 4, 5)
    assert joined[:1, :, :2].equal(parts[0].decode())
    assert joined[1:, :, :, :3].equal(parts[1].decode())
    assert not joined[0, :, 2:].any() and not joined[1, :, :, 3:].any()
    mixed = join([parts[0], Stored.encode(tensors[1], 'fp32')], (4, 5), cpu)
    assert mixed[0].equal(joined[0])
    assert mixed[1, :, :, :3].equal(tensors[1][0])


def test_layout_says_the_bytes():
    layout = Layout((1, 4, 2, 3), torch.int8, torch.float32)
    assert layout.sizes == (16, 24) and layout.scale_shape == (1, 4, 1, 1)
    half = Layout((1, 4, 2, 3), torch.float16, torch.float32)
    assert half.sizes == (0, 48) and half.scale_shape is None
