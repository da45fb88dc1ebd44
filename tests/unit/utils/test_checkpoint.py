import builtins
import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmkd.errors import CheckpointError
from mmkd.models.network import build_network
from mmkd.testing import segmentor
from mmkd.utils.checkpoint import (Checkpoint, load_weights, read_checkpoint,
                                   read_file)


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
    assert 'broken or no safetensors' in refused(path)
    path.write_bytes(b'')
    refused(path)


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
