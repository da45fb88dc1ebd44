"""Reading checkpoints without running code from them."""
import io
import json
import os.path as osp
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Union

import numpy as np
import torch
from torch import Tensor, nn

from mmkd.errors import BrokenCheckpointError, CheckpointError
from mmkd.utils.download import local_file
from mmkd.utils.files import write_file
from mmkd.utils.finite import check_finite
from mmkd.utils.index import read_indices_as_data
from mmkd.utils.reading import (Damaged, Forbidden, look_at, read_tensors,
                                read_torch, shown)

#: Key of the texts of safetensors under which mmkd keeps its own, as JSON.
_META = 'mmkd'


@dataclass
class Checkpoint:
    """The part of a checkpoint that other networks may use.

    Attributes:
        state_dict (dict[str, Tensor]): The weights.
        meta (dict): What the writer said of them.
        path (str): Where they came from.
    """
    state_dict: Dict[str, Tensor]
    meta: Dict[str, Any] = field(default_factory=dict)
    path: str = ''

    @property
    def classes(self) -> Optional[List[str]]:
        """Names of the classes that the network was trained on, if told."""
        meta = self.meta.get('dataset_meta')
        meta = meta if isinstance(meta, dict) else {}
        classes = meta.get('classes', self.meta.get('CLASSES'))
        return list(classes) if isinstance(classes, (list, tuple)) else None


def read_file(path: Union[str, dict], trusted: bool = False) -> Any:
    """Read a checkpoint file as data.

    Args:
        path (str | dict): A ``.pth`` or ``.safetensors`` file, the
            ``.safetensors.index.json`` of several, or an address as in
            :func:`~mmkd.utils.download.local_file`.
        trusted (bool): Whether the user vouches for this very file, so that
            it may run code. Defaults to False.

    Returns:
        Any: What the file holds; tensors are on the CPU.

    Raises:
        BrokenCheckpointError: If it is truncated or damaged.
        CheckpointError: If it is missing, or holds more than data.
    """
    path = local_file(path)
    path = osp.expanduser(path)
    if not osp.exists(path):
        raise CheckpointError(f'there is no checkpoint {path}')
    name = shown(path, 4096)
    try:
        if path.endswith('.safetensors'):
            state_dict, texts = read_tensors(path)
            return dict(state_dict=state_dict, meta=_meta(texts))
        if path.endswith('.safetensors.index.json'):
            return dict(state_dict=_read_shards(path), meta={})
        content = _load_trusted(path) if trusted else read_torch(path)
        _check_names(content)
        return content
    except Damaged as error:
        raise BrokenCheckpointError(
            f'{name} ({osp.getsize(path)} bytes) is truncated, damaged or no '
            f'checkpoint: {error}') from None
    except Forbidden as error:
        raise CheckpointError(f'{name} {error}') from None
    except OSError as error:
        raise CheckpointError(
            f'cannot read {name}: {error.strerror or error}') from None
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or 'allocate memory' in str(error):
            raise CheckpointError(
                f'{name} ({osp.getsize(path)} bytes) asks for more memory '
                'than there is') from None
        raise


def _read_shards(index: str) -> Dict[str, Tensor]:
    """Read the weights that an index of safetensors files lists.

    Raises:
        Damaged: If it is no index, or a file is missing or lacks a weight.
    """
    try:
        with open(index, encoding='utf-8') as file:
            places = json.load(file)['weight_map']
        names = sorted(set(places.values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged(f'it has no weight_map ({error!r:.80})') from None
    found: Dict[str, Tensor] = {}
    for name in map(str, names):
        path = osp.join(osp.dirname(index), name)
        # A name may not lead out of the folder.
        if name != osp.basename(name) or not osp.isfile(path):
            raise Damaged(f'there is no file {shown(name, 160)} beside it')
        tensors, _ = read_tensors(path)
        found.update((key, value) for key, value in tensors.items()
                     if places.get(key) == name)
    missing = sorted(set(places) - set(found))
    if missing:
        raise Damaged(f'its files lack {shown(missing[0], 160)}')
    return found


def _check_names(content: Any) -> None:
    """Check that weights have names that may be printed."""
    if not isinstance(content, dict):
        return
    for weights in (content, content.get('state_dict'), content.get('model')):
        if not isinstance(weights, dict):
            continue
        for key, value in weights.items():
            # Beside the weights, other things lie under other keys.
            if weights is content and not isinstance(value, Tensor):
                continue
            if not isinstance(key, str) or not key.isprintable():
                raise Forbidden(f'has the key {shown(key)} among its weights, '
                                'which is not a name')


def _load_trusted(path: str) -> Any:
    """Read a file that may run code."""
    look_at(path)
    try:
        return torch.load(path, map_location='cpu', weights_only=False)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes its reader raise any
        raise Damaged(shown(' '.join(str(error).split()), 160)) from error


def _meta(texts: Optional[Dict[str, str]]) -> Dict[str, Any]:
    """What :func:`write_weights` put into the texts of safetensors."""
    meta: Dict[str, Any] = dict(texts or {})
    try:
        ours = json.loads(meta.get(_META, '{}'))
    except (ValueError, RecursionError):
        ours = None
    if isinstance(ours, dict):
        meta.pop(_META, None)
        meta.update(ours)
    return meta


def write_weights(path: str, state_dict: Dict[str, Tensor],
                  meta: Dict[str, Any]) -> None:
    """Write weights alone, as safetensors where the name says so.

    Args:
        path (str): A ``.safetensors`` file, or another for torch's format.
        state_dict (dict[str, Tensor]): The weights.
        meta (dict): What to say of them, as plain data.

    Raises:
        OSError: If it cannot be written; what was there is there still.
    """
    # Copies, as safetensors wants no memory to be shared.
    state_dict = {
        key: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for key, value in state_dict.items()
    }
    if path.endswith('.safetensors'):
        from safetensors.torch import save
        text = json.dumps(
            meta, default=lambda value: np.asarray(value).tolist())
        content = save(state_dict, {'format': 'pt', _META: text})
    else:
        buffer = io.BytesIO()
        torch.save(dict(state_dict=state_dict, meta=meta), buffer)
        content = buffer.getvalue()
    write_file(path, lambda file: file.write(content))


def load_from_zoo(filename: str, map_location: Any = None) -> Any:
    """Read weights that a library publishes, such as
    ``torchvision://resnet18``."""
    from mmengine.runner import checkpoint as zoo
    scheme, name = filename.split('://', 1)
    models = dict(
        torchvision=zoo.get_torchvision_models,
        modelzoo=zoo.get_torchvision_models,
        mmcls=zoo.get_mmcls_models).get(scheme, zoo.get_external_models)()
    if scheme in ('open-mmlab', 'openmmlab'):
        name = zoo.get_deprecated_model_names().get(name, name)
    if name not in models:
        raise CheckpointError(f'there are no published weights {filename}')
    path = models[name]
    if not path.startswith(('http://', 'https://')):
        path = osp.join(zoo._get_mmengine_home(), path)
    content = read_file(path)
    return zoo._process_mmcls_checkpoint(
        content) if scheme == 'mmcls' else content


def load_from_file(filename: str, map_location: Any = None) -> Any:
    """Read a file or an address."""
    return read_file(filename)


def read_as_data() -> None:
    """Let mmengine's own loading read files as :func:`read_file` does, and
    index files as :func:`.index.read_index_file`.

    Networks load pretrained parts through it (``init_cfg``, ``pretrained``).
    For addresses and zoos of models, mmengine 0.10 asks torch for loading
    that may run code.
    """
    from mmengine.runner.checkpoint import CheckpointLoader
    read_indices_as_data()
    CheckpointLoader.register_scheme(('', 'http://', 'https://'),
                                     load_from_file,
                                     force=True)
    CheckpointLoader.register_scheme(
        ('torchvision://', 'modelzoo://', 'open-mmlab://', 'openmmlab://',
         'mmcls://'),
        load_from_zoo,
        force=True)
    CheckpointLoader.register_scheme(
        ('pavi://', r'(\S+\:)?s3://', r'(\S+\:)?petrel://'),
        load_from_file,
        force=True)


def read_checkpoint(path: Union[str, dict],
                    trusted: bool = False) -> Checkpoint:
    """Read the weights of a checkpoint; see :func:`read_file`.

    Keys lose the prefix ``module.`` of a parallel wrapper. A checkpoint of a
    distillation run gives its student.

    Returns:
        Checkpoint: Weights and what the writer said of them.

    Raises:
        CheckpointError: If the file holds no weights, or as in
            :func:`read_file`.
    """
    path = osp.expanduser(local_file(path))
    content = read_file(path, trusted)
    state_dict, meta = content, {}
    if isinstance(content, dict):
        meta = content.get('meta')
        for key in ('state_dict', 'model'):
            if isinstance(content.get(key), dict):
                state_dict = content[key]
                break
    if not isinstance(state_dict, dict) or not any(
            isinstance(value, Tensor) for value in state_dict.values()):
        raise CheckpointError(f'{path} holds no weights (no `state_dict`)')
    state_dict = {
        (key[7:] if key.startswith('module.') else key): value
        for key, value in state_dict.items()
        if isinstance(value, Tensor) and not key.startswith('distill.')
    }
    return Checkpoint(state_dict, meta if isinstance(meta, dict) else {}, path)


def load_weights(network: nn.Module,
                 checkpoint: Checkpoint,
                 name: str = 'the network',
                 strict: bool = True) -> None:
    """Load weights into a network, and accept nothing less than all of it.

    Entries of the file that the network lacks are ignored: an auxiliary
    head, for instance, that this config goes without.

    Args:
        network (nn.Module): The network to fill.
        checkpoint (Checkpoint): The weights.
        name (str): What to call the network in messages.
        strict (bool): Whether every weight of the network must be in the
            file; without it, one match is enough. Defaults to True.

    Raises:
        CheckpointError: If shapes differ, or weights are missing, NaN or
            infinite.
    """
    own, given = network.state_dict(), checkpoint.state_dict
    source = f'{checkpoint.path or "the checkpoint"}'
    common = [key for key in own if key in given]
    if not common:
        raise CheckpointError(
            f'{source} matches no weight of {name} '
            f'({type(network).__name__}): it has {_some(given)}, the network '
            f'{_some(own)}')
    differ = [key for key in common if own[key].shape != given[key].shape]
    if differ:
        key = differ[-1]
        raise CheckpointError(
            f'{source} does not fit {name}: {shown(key)} is '
            f'{tuple(given[key].shape)} in the file and '
            f'{tuple(own[key].shape)} in the config'
            f'{_class_hint(key)} ({len(differ)} weight(s) differ)')
    missing = [
        key for key in own
        if key not in given and not key.endswith('num_batches_tracked')
    ]
    if missing and strict:
        raise CheckpointError(
            f'{source} lacks {len(missing)} of the {len(own)} weights of '
            f'{name}: {_some(missing)}; is it of this config? '
            '`strict=False` accepts the rest')
    network.load_state_dict({key: given[key] for key in common}, strict=False)
    check_finite(network, source, name)


def _class_hint(key: str) -> str:
    head = any(part in key for part in ('conv_seg', 'cls', 'head'))
    return '; was it trained on other classes?' if head else ''


def _some(keys: Any, limit: int = 2) -> str:
    keys = list(keys)
    more = ', ...' if len(keys) > limit else ''
    return ', '.join(map(shown, keys[:limit])) + more
