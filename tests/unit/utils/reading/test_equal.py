"""Whole files are read as torch, safetensors and pickle read them."""
import pickle
from collections import Counter, OrderedDict

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer, MessageHub
from torch import nn

from mmkd.utils.reading import read_index, read_tensors, read_torch
from mmkd.utils.reading.tensors import DTYPES


def bits(tensor):
    plain = tensor.detach().resolve_conj().resolve_neg().clone(
        memory_format=torch.contiguous_format)
    return plain.view(-1).view(torch.uint8).tolist()


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert (a.dtype, a.shape, a.stride(), a.storage_offset(),
                a.requires_grad) == (b.dtype, b.shape, b.stride(),
                                     b.storage_offset(), b.requires_grad)
        assert bits(a) == bits(b)
        assert a.untyped_storage().nbytes() == b.untyped_storage().nbytes()
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
        assert_same(getattr(a, '_metadata', 0), getattr(b, '_metadata', 0))
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b):
            assert_same(x, y)
    elif isinstance(a, (np.ndarray, np.generic)):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert a.tobytes() == b.tobytes()
        assert a.flags.f_contiguous == b.flags.f_contiguous
    elif isinstance(a, HistoryBuffer):
        assert vars(a).keys() == vars(b).keys()
        assert a.max_length == b.max_length
        assert_same(a.data, b.data)
        assert a.statistics('mean') == b.statistics('mean')
    else:
        assert a == b or a != a and b != b


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 4))


def all_dtypes():
    raw = torch.arange(32, dtype=torch.uint8)
    return {
        name: (raw % 2 if dtype is torch.bool else raw.clone()).view(dtype)
        for name, dtype in DTYPES.items()
    }


def views():
    base = torch.arange(24.)
    return dict(
        base=base,
        part=base[3:9],
        matrix=base.view(4, 6),
        transposed=base.view(4, 6).t(),
        steps=base[1::5],
        expanded=base[:2, None].expand(2, 12),
        number=base[5],
        empty=base[:0],
        flat=torch.empty(0, 3),
        none=torch.empty(0),
        scalar=torch.tensor(7),
        last=torch.ones(2, 3, 4, 5).to(memory_format=torch.channels_last),
        conj=torch.tensor([1 + 2j]).conj(),
        negative=torch.tensor([1 + 2j]).conj().imag)


def plain():
    return dict(
        numbers=[0, -1, 255, 256, 65536, -2**31, 2**40, 2**200, -2**200],
        floats=[0.5, float('inf'), -0., float('nan')],
        texts=['', 'ä', '\U0001f600', 'x' * 300],
        raw=[b'', b'\0\xff', bytearray(b'ab'), b'y' * 300],
        others=[None, True, False, 1 + 2j, ()],
        tuples=[(1, ), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        sets=[{1, 'a'}, frozenset([2])],
        counter=Counter(a=2),
        ordered=OrderedDict(a=1, b=OrderedDict()),
        keys={
            1: 'a',
            2.5: 'b',
            None: 'c',
            (1, 'x'): 'd',
            b'k': 'e'
        },
        dtype=torch.float16,
        size=torch.Size([2, 3]),
        device=torch.device('cuda', 1))


def arrays():
    values = np.arange(6)
    return dict(
        **{
            kind: values.astype(kind)
            for kind in ('?', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8',
                         'f2', 'f4', 'f8', 'c8', 'c16')
        },
        fortran=np.asfortranarray(values.reshape(2, 3)),
        matrix=values.reshape(2, 3),
        empty=np.zeros((0, 4), np.float32),
        number=np.array(3.),
        names=np.array(['Car', 'Pedestrian', 'ä']),
        raw=np.array([b'a', b'bcd']),
        scalars=[
            np.float32(1.5),
            np.int64(-3),
            np.bool_(True),
            np.float64(2), values[2]
        ])


CONTENTS = dict(
    dtypes=all_dtypes,
    views=views,
    plain=plain,
    arrays=arrays,
    state_dict=lambda: network().state_dict(),
    parameters=lambda: dict(network().named_parameters()),
    shared=lambda: [[1], torch.ones(2)] * 3,
    nothing=lambda: None,
    empty=lambda: {})


@pytest.mark.parametrize('name', CONTENTS)
@pytest.mark.parametrize('old', [False, True])
@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_as_torch(tmp_path, name, old, protocol):
    path = str(tmp_path / 'a.pth')
    content = CONTENTS[name]()
    if name == 'dtypes' and old:
        content = {  # those that torch has had for long
            key: value
            for key, value in content.items()
            if not key.startswith(('float8', 'uint16', 'uint32', 'uint64',
                                   'complex32'))
        }
    torch.save(
        content,
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=not old)
    assert_same(
        read_torch(path),
        torch.load(path, map_location='cpu', weights_only=False))


def test_without_checksums(tmp_path):
    path = str(tmp_path / 'a.pth')
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(network().state_dict(), path)
    finally:
        torch.serialization.set_crc32_options(True)
    assert_same(read_torch(path), torch.load(path, weights_only=True))


def test_several_threads(tmp_path):
    path, torch_path = tmp_path / 'a.pth', str(tmp_path / 'a.pth')
    torch.save([torch.arange(1 << 20) + i for i in range(3)], path)
    read = read_torch(torch_path)
    assert all(t.equal(torch.arange(1 << 20) + i) for i, t in enumerate(read))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Exception, match='CRC'):
        read_torch(torch_path)


def test_memory_is_shared_as_it_was(tmp_path):
    path = str(tmp_path / 'a.pth')
    base = torch.zeros(6)
    torch.save(dict(a=base, b=base.view(2, 3)[1], c=base), path)
    read = read_torch(path)
    version = read['b']._version
    read['a'][4] = 7
    assert read['b'].tolist() == [0, 7, 0] and read['a'] is read['c']
    # No views for autograd, as torch loads them.
    assert read['b']._version == version and read['b']._base is None


def test_parameters_with_attributes(tmp_path):
    path = str(tmp_path / 'a.pth')
    tensor, parameter = torch.ones(2), nn.Parameter(torch.ones(3), False)
    tensor.note = parameter.note = 'x'
    torch.save([tensor, parameter], path)
    tensor, parameter = read_torch(path)
    assert tensor.equal(torch.ones(2)) and type(parameter) is nn.Parameter
    assert not parameter.requires_grad and not hasattr(parameter, 'note')


@pytest.mark.parametrize('protocol', [2, 4])
def test_training_state(tmp_path, protocol):
    """As mmengine's runner saves it."""
    path = str(tmp_path / 'a.pth')
    net = network()
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 3, 6, 6)).sum().backward()
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [2, 4])
    hub = MessageHub(f'reading{protocol}')
    hub.update_scalar('train/loss', 1.5)
    hub.update_scalar('train/loss', torch.tensor(2.))
    hub.update_info('iter', 3)
    hub.update_info('best', np.float32(0.5))
    torch.save(
        dict(
            state_dict=net.state_dict(),
            optimizer=optimizer.state_dict(),
            param_schedulers=[scheduler.state_dict()],
            message_hub=hub.state_dict(),
            random=torch.get_rng_state(),
            numpy=np.random.get_state(),
            meta=dict(cfg='text', dataset_meta=dict(palette=[(1, 2, 3)]))),
        path,
        pickle_protocol=protocol)
    assert_same(read_torch(path), torch.load(path, weights_only=False))


def test_config_dicts_are_dicts(tmp_path):
    path = str(tmp_path / 'a.pth')
    torch.save(dict(cfg=ConfigDict(a=ConfigDict(b=[ConfigDict(c=1)]))), path)
    assert_same(read_torch(path), dict(cfg=dict(a=dict(b=[dict(c=1)]))))


def test_other_devices_become_the_cpu(tmp_path):
    path = tmp_path / 'a.pth'
    torch.save(dict(w=torch.ones(2)), path, _use_new_zipfile_serialization=0)
    path.write_bytes(path.read_bytes().replace(b'X\3\0\0\0cpu',
                                               b'X\6\0\0\0cuda:7'))
    assert_same(read_torch(str(path)), dict(w=torch.ones(2)))


@pytest.mark.parametrize('name', ['dtypes', 'state_dict', 'views'])
def test_safetensors(tmp_path, name):
    from safetensors.torch import load_file, save_file
    path = str(tmp_path / 'a.safetensors')
    content = {
        key:
        value.resolve_conj().resolve_neg().clone(
            memory_format=torch.contiguous_format)
        for key, value in CONTENTS[name]().items()
        if key not in ('complex128', 'complex32', 'float8_e4m3fnuz',
                       'float8_e5m2fnuz')
    }
    save_file(content, path, metadata=dict(a='b'))
    read, texts = read_tensors(path)
    expected = load_file(path)
    assert texts == dict(a='b')
    assert_same({k: read[k]
                 for k in sorted(read)},
                {k: expected[k]
                 for k in sorted(expected)})


@pytest.mark.parametrize('name', ['plain', 'arrays', 'empty'])
@pytest.mark.parametrize('protocol', [2, 3, 4, 5])
def test_index(tmp_path, name, protocol):
    path = tmp_path / 'a.pkl'
    content = CONTENTS[name]()
    path.write_bytes(pickle.dumps(content, protocol))
    assert_same(read_index(str(path)), content)


def test_keys_of_numpy(tmp_path):
    """mmdet3d writes such into its index files of KITTI."""
    content = dict(
        categories={
            'Car': 2,
            np.array(['DontCare'])[0]: -1
        },
        sizes={np.int64(3): 1})
    assert type(list(content['categories'])[1]) is np.str_
    path = tmp_path / 'infos.pkl'
    path.write_bytes(pickle.dumps(content))
    assert read_index(str(path)) == content
