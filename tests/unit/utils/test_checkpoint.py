import builtins
import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmkd.core.network import build_network
from mmkd.errors import BrokenCheckpointError, CheckpointError
from mmkd.testing import segmentor
from mmkd.utils.checkpoint import (Checkpoint, load_weights, read_as_data,
                                   read_checkpoint, read_file, write_weights)


class Code:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path, call=None):
        self.path, self.call = path, call

    def __reduce__(self):
        return os.system, (f'touch {self.path}', )


class Chain:
    """Walks from an allowed class to another one by ``getattr``."""

    def __init__(self, *names, owner=HistoryBuffer):
        self.names, self.owner = names, owner

    def __reduce__(self):
        owner = Chain(
            *self.names[:-1], owner=self.owner) if len(
                self.names) > 1 else self.owner
        return getattr, (owner, self.names[-1])


def refused(path, **kwargs):
    with pytest.raises(CheckpointError) as caught:
        read_file(str(path), **kwargs)
    message = str(caught.value)
    assert str(path) in message
    assert '\n' not in message and len(message) < 400
    return message


def test_code_is_not_run(tmp_path):
    mark, path = tmp_path / 'mark', tmp_path / 'evil.pth'
    torch.save(dict(state_dict={}, meta=Code(mark)), path)
    message = refused(path)
    assert 'more than weights' in message and 'trusted=True' in message
    assert 'system' in message
    assert not mark.exists()
    assert read_file(str(path), trusted=True)['state_dict'] == {}
    assert mark.exists()
    # The trust is in that file alone.
    mark.unlink()
    other = tmp_path / 'other.pth'
    torch.save(dict(state_dict={}, meta=Code(mark)), other)
    refused(other), refused(path)
    assert not mark.exists()


def test_legacy_pickle_with_code(tmp_path):
    mark, path = tmp_path / 'mark', tmp_path / 'old.pth'
    with open(path, 'wb') as file:
        pickle.dump(Code(mark), file)
    refused(path)
    assert not mark.exists()


@pytest.mark.parametrize('names', [('__init__', ), ('__init__', '__globals__'),
                                   ('_set_default_statistics', ),
                                   ('__class__', ), ('mean', '__globals__'),
                                   ('register_statistics', ),
                                   ('statistics', )])
def test_getattr_leads_nowhere(tmp_path, names):
    path = tmp_path / 'gadget.pth'
    torch.save(dict(state_dict={}, meta=Chain(*names)), path)
    refused(path)
    torch.save(Chain(*names, owner=torch.Tensor), path)
    refused(path)


def test_other_builtins(tmp_path):
    path = tmp_path / 'eval.pth'

    class Eval:

        def __reduce__(self):
            return builtins.eval, ('1 + 1', )

    torch.save(Eval(), path)
    assert 'eval' in refused(path)


def test_training_state_is_read(tmp_path):
    path = tmp_path / 'run.pth'
    history = HistoryBuffer([1., 2.], [1, 1])
    torch.save(
        dict(
            state_dict=dict(w=torch.ones(2)),
            message_hub=dict(
                log_scalars={'train/loss': history},
                runtime_info=dict(iter=np.int64(3), lr=np.float32(0.5)),
                resumed_keys={}),
            palette=np.zeros((2, 3), np.uint8)), path)
    content = read_file(str(path))
    read = content['message_hub']['log_scalars']['train/loss']
    assert read.mean() == 1.5 and read.statistics('max') == 2
    assert content['message_hub']['runtime_info']['iter'] == 3
    # and what was allowed here is not allowed elsewhere
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def test_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    torch.save(dict(state_dict=dict(a=torch.ones(1))), tmp_path / 'a.pth')
    assert read_checkpoint('~/a.pth').path == str(tmp_path / 'a.pth')


def test_missing():
    assert refused('/nowhere/a.pth') == 'there is no checkpoint /nowhere/a.pth'


@pytest.mark.parametrize('share', [0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize('legacy', [True, False])
def test_truncated(tmp_path, share, legacy):
    path = tmp_path / 'cut.pth'
    torch.save(
        dict(state_dict=dict(w=torch.ones(1000))),
        path,
        _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    path.write_bytes(content[:int(share * len(content))])
    message = refused(path)
    assert 'truncated, damaged or no checkpoint' in message
    refused(path, trusted=True)


@pytest.mark.parametrize('content', [
    b'<html>404 not found</html>', b'version https://git-lfs.github.com/spec',
    b'\0' * 100, b'PK\x03\x04' + b'x' * 100
])
def test_no_checkpoint(tmp_path, content):
    path = tmp_path / 'page.pth'
    path.write_bytes(content)
    refused(path)
    refused(path, trusted=True)


def test_safetensors(tmp_path):
    from safetensors.torch import save_file
    path = tmp_path / 'w.safetensors'
    save_file(dict(w=torch.ones(3)), path, metadata=dict(note='hi'))
    read = read_checkpoint(str(path))
    assert read.state_dict['w'].equal(torch.ones(3))
    assert read.meta == dict(note='hi') and read.classes is None
    path.write_bytes(path.read_bytes()[:20])
    assert 'its header claims' in refused(path)
    path.write_bytes(b'')
    refused(path)


@pytest.mark.parametrize('kind', ['pth', 'safetensors'])
def test_weights_alone(tmp_path, kind, monkeypatch):
    path, shared = str(tmp_path / f'w.{kind}'), torch.ones(2, 3)
    palette = np.arange(3, dtype=np.uint8)
    meta = dict(dataset_meta=dict(classes=('a', 'b'), palette=palette), iter=3)
    write_weights(path, dict(a=shared, b=shared.t(), c=torch.tensor(2)), meta)
    read = read_checkpoint(path)
    assert read.state_dict['b'].equal(shared.t())
    assert read.state_dict['c'] == 2 and read.state_dict['c'].shape == ()
    assert read.classes == ['a', 'b'] and read.meta['iter'] == 3
    assert list(read.meta['dataset_meta']['palette']) == [0, 1, 2]

    def killed(*args):
        raise KeyboardInterrupt

    # What was there is there still.
    monkeypatch.setattr(os, 'replace', killed)
    with pytest.raises(KeyboardInterrupt):
        write_weights(path, dict(a=torch.zeros(1)), {})
    assert os.listdir(tmp_path) == [f'w.{kind}']
    assert read_checkpoint(path).state_dict['a'].equal(shared)


@pytest.mark.parametrize('text', ['{', '[1]', '"x"'])
def test_notes_of_others_in_safetensors(tmp_path, text):
    from safetensors.torch import save_file
    path = tmp_path / 'w.safetensors'
    save_file(dict(w=torch.ones(3)), path, metadata=dict(mmkd=text))
    assert read_checkpoint(str(path)).meta == dict(mmkd=text)


def test_one_bit(tmp_path):
    """torch itself would not notice."""
    path = tmp_path / 'w.pth'
    torch.save(dict(state_dict=dict(w=torch.arange(1000.))), path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    changed = torch.load(path)['state_dict']['w']
    assert (changed != torch.arange(1000.)).sum() == 1
    assert 'CRC' in refused(path)


def test_more_than_there_is(tmp_path):
    path = tmp_path / 'w.pth'
    torch.save(dict(state_dict=dict(w=torch.zeros(1).expand(1 << 40))), path)
    assert 'claims to hold 4398046511104 bytes' in refused(path)
    # A view of what is there is nothing bad.
    torch.save(dict(state_dict=dict(w=torch.zeros(99).expand(9, 99))), path)
    assert read_file(str(path))['state_dict']['w'].shape == (9, 99)


def test_pretrained_parts(tmp_path, monkeypatch):
    """mmengine loads them, from files, addresses and zoos of models."""
    from mmengine.runner import checkpoint, load_checkpoint

    from mmkd.utils import download
    monkeypatch.setattr(checkpoint.CheckpointLoader, '_schemes',
                        dict(checkpoint.CheckpointLoader._schemes))
    read_as_data(), read_as_data()
    network = torch.nn.Linear(1, 1)
    mark = tmp_path / 'mark'
    good = dict(weight=torch.full((1, 1), 3.), bias=torch.zeros(1))
    url = checkpoint.get_torchvision_models()['resnet18']
    openmmlab = checkpoint.get_external_models()['detectron2/resnet50_caffe']
    for place, address in {
            str(tmp_path / 'file.pth'): None,
            'https://nowhere.example/net.pth?x=1':
            'https://nowhere.example/net.pth?x=1',
            'torchvision://resnet18': url,
            'open-mmlab://detectron2/resnet50_caffe': openmmlab,
    }.items():
        cached = tmp_path / 'file.pth'
        # A name with a hash is checked: test_download.py.
        monkeypatch.setattr(
            download, '_fetch', lambda url, _: str(cached)
            if url == address else None)
        torch.save(good, cached)
        network.weight.data.zero_()
        load_checkpoint(network, place)
        assert network.weight == 3
        torch.save(dict(state_dict={}, meta=Code(mark)), cached)
        with pytest.raises(CheckpointError, match=cached.name):
            load_checkpoint(network, place)
        assert not mark.exists()
    for place in ('s3://a/b.pth', 'petrel://a/b.pth', 'x:s3://a/b.pth',
                  'pavi://a/b'):
        with pytest.raises(CheckpointError, match=f'cannot read {place}: ad'):
            load_checkpoint(network, place)
    with pytest.raises(CheckpointError, match='no published .*resnet17'):
        load_checkpoint(network, 'torchvision://resnet17')


@pytest.mark.parametrize('wrap', [
    lambda s: s, lambda s: dict(state_dict=s), lambda s: dict(model=s),
    lambda s: {
        f'module.{k}': v
        for k, v in s.items()
    }, lambda s: dict(state_dict={
        **s, 'distill.cwd.x': torch.zeros(1)
    })
])
def test_where_the_weights_lie(tmp_path, wrap):
    path = tmp_path / 'w.pth'
    torch.save(wrap(dict(a=torch.ones(1), b=torch.zeros(2))), path)
    assert set(read_checkpoint(str(path)).state_dict) == {'a', 'b'}


@pytest.mark.parametrize('content', [{
    1: torch.ones(1)
},
                                     dict(state_dict={
                                         None: 1,
                                         'a': torch.ones(1)
                                     }),
                                     dict(model={b'x': torch.ones(1)})])
def test_weights_without_names(tmp_path, content):
    path = tmp_path / 'w.pth'
    torch.save(content, path)
    assert 'which is not a name' in refused(path)


def test_names_with_escapes(tmp_path):
    path = tmp_path / 'w.pth'
    for wrap in (dict, lambda w: dict(state_dict=w)):
        torch.save(wrap({'a\x1b[31m\n': torch.ones(1)}), path)
        message = refused(path)
        assert 'a\\x1b[31m\\n' in message and message.isprintable()


@pytest.mark.parametrize(
    'content', [dict(state_dict={}), [1, 2], 'text', 3,
                dict(meta=dict(a=1))])
def test_no_weights(tmp_path, content):
    path = tmp_path / 'w.pth'
    torch.save(content, path)
    with pytest.raises(CheckpointError, match='w.pth holds no weights'):
        read_checkpoint(str(path))


@pytest.mark.parametrize(
    'meta',
    [dict(dataset_meta=dict(classes=('a', 'b'))),
     dict(CLASSES=['a', 'b'])])
def test_classes(meta):
    assert Checkpoint({}, meta).classes == ['a', 'b']


def test_load_weights():
    network = build_network(segmentor(), 'x')
    given = {k: torch.ones_like(v) for k, v in network.state_dict().items()}
    given = {k: v for k, v in given.items() if 'batches_tracked' not in k}
    load_weights(network, Checkpoint(dict(given, extra=torch.ones(1))))
    assert all(p.eq(1).all() for p in network.parameters())
    key = 'decode_head.conv_seg.bias'
    lacking = {k: v for k, v in given.items() if k != key}
    with pytest.raises(CheckpointError, match=f'lacks 1 .*{key}'):
        load_weights(network, Checkpoint(lacking))
    load_weights(network, Checkpoint(lacking), strict=False)
    with pytest.raises(CheckpointError, match='matches no weight'):
        load_weights(network, Checkpoint(dict(x=key)), strict=False)
    with pytest.raises(CheckpointError, match=r'does not fit.*\(3,\).*\(19,'):
        load_weights(network, Checkpoint(dict(given, **{key: torch.ones(3)})))


@pytest.mark.parametrize('index, why', [
    ('[]', 'no weight_map'),
    ('{"weight_map": {"a": "../other.safetensors"}}', 'no file'),
    ('{"weight_map": {"a": 3}}', 'no file'),
    ('{"weight_map": {"a": "x.safetensors", "b": "x.safetensors"}}',
     'its files lack b'),
])
def test_broken_index_of_files(index, why, tmp_path):
    for name in ('other', 'folder/x'):
        path = tmp_path / f'{name}.safetensors'
        path.parent.mkdir(exist_ok=True)
        write_weights(str(path), dict(a=torch.ones(1)), {})
    file = tmp_path / 'folder/model.safetensors.index.json'
    file.write_text(index)
    with pytest.raises(BrokenCheckpointError, match=why):
        read_file(str(file))
