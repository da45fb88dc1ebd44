"""Reading checkpoints without running code from them."""
import io
import json
import os.path as osp
import pickle
import zipfile
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Union

import numpy as np
import torch
from torch import Tensor, nn

from mmkd.errors import BrokenCheckpointError, CheckpointError
from mmkd.utils.download import local_file
from mmkd.utils.files import write_file
from mmkd.utils.finite import check_finite

#: Key of the texts of safetensors under which mmkd keeps its own, as JSON.
_META = 'mmkd'


class _HistoryBufferGetattr:
    """Stand-in for ``getattr`` that knows one class and four names.

    mmengine's ``HistoryBuffer`` pickles its statistics as
    ``getattr(HistoryBuffer, name)``. The real ``getattr`` on an allow-list
    would hand any attribute of anything to a hostile file.
    """

    __name__ = 'getattr'
    __qualname__ = 'getattr'
    __module__ = 'builtins'

    def __call__(self, owner: Any, name: Any) -> Callable:
        from mmengine.logging import HistoryBuffer
        if owner is HistoryBuffer and name in ('min', 'max', 'current',
                                               'mean'):
            return getattr(HistoryBuffer, name)
        raise pickle.UnpicklingError(f'getattr({owner!r}, {name!r}) is not '
                                     'allowed in a checkpoint')


_getattr_stand_in = _HistoryBufferGetattr()


def allowed_globals() -> list:
    """What a training checkpoint may name beside tensors and plain data.

    Returns:
        list: For ``torch.serialization.safe_globals``.
    """
    from mmengine.logging import HistoryBuffer
    numpy_core = np.core.multiarray
    dtypes = [
        type(np.dtype(kind)) for kind in ('f2', 'f4', 'f8', 'i1', 'i2', 'i4',
                                          'i8', 'u1', 'u2', 'u4', 'u8', '?')
    ]
    return [
        HistoryBuffer,
        (_getattr_stand_in, 'builtins.getattr'),
        # Plain dicts in its place, as it copies each level: where levels are
        # shared, that multiplies.
        (dict, 'mmengine.config.config.ConfigDict'),
        np.ndarray,
        np.dtype,
        numpy_core._reconstruct,
        numpy_core.scalar,
        *dtypes
    ]


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
        path (str | dict): A ``.pth`` or ``.safetensors`` file, or an address
            as in :func:`~mmkd.utils.download.local_file`.
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
    if not osp.isfile(path):
        raise CheckpointError(f'there is no checkpoint {path}')
    if path.endswith('.safetensors'):
        from safetensors import SafetensorError, safe_open
        try:
            with safe_open(path, framework='pt') as file:
                state_dict = {key: file.get_tensor(key) for key in file.keys()}
                return dict(state_dict=state_dict, meta=_meta(file.metadata()))
        except (SafetensorError, OSError) as error:
            raise BrokenCheckpointError(
                f'{path} is broken or no safetensors file ({error})') from None
    try:
        if trusted:
            return torch.load(path, map_location='cpu', weights_only=False)
        _check_archive(path)
        with torch.serialization.safe_globals(allowed_globals()):
            content = torch.load(path, map_location='cpu', weights_only=True)
        _check_sizes(content, max(osp.getsize(path), 1 << 20))
        return content
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f'{path} holds more than weights and plain data, and was not '
            f'loaded: {_reason(error)}. If you trust its source, say '
            '`trusted=True` for this file in the config.') from None
    except Exception as error:  # a damaged file makes its reader raise any
        if isinstance(error, MemoryError) or 'allocate memory' in str(error):
            raise CheckpointError(
                f'{path} ({osp.getsize(path)} bytes) asks for more memory '
                'than there is') from None
        raise BrokenCheckpointError(
            f'{path} ({osp.getsize(path)} bytes) is truncated, damaged or no '
            f'checkpoint: {_reason(error)}') from None


def _meta(texts: Optional[Dict[str, str]]) -> Dict[str, Any]:
    """What :func:`write_weights` put into the texts of safetensors."""
    meta: Dict[str, Any] = dict(texts or {})
    try:
        ours = json.loads(meta.get(_META, '{}'))
    except ValueError:
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


def _check_archive(path: str) -> None:
    """Check what torch takes on trust in the archives that it writes.

    Raises:
        ValueError: If the entries claim to be larger than the file, or two
            have one name, so that readers may differ.
        zipfile.BadZipFile: If it is damaged; a checksum tells, for instance.
    """
    with open(path, 'rb') as file:
        if file.read(4) != b'PK\x03\x04':
            return  # the older format
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        # torch does not compress, so that more than this is a trick.
        claimed = sum(entry.file_size for entry in entries)
        if claimed > osp.getsize(path):
            raise ValueError(f'its entries claim to be of {claimed} bytes')
        if len({entry.filename for entry in entries}) < len(entries):
            raise ValueError('it has several entries of one name')
        for entry in entries:
            if not entry.CRC:  # torch can leave them out
                continue
            with archive.open(entry) as content:
                while content.read(1 << 20):  # raises where it is wrong
                    pass


def _check_sizes(content: Any, limit: int) -> None:
    """Check that no tensor or array is larger than a file can fill.

    torch gives a tensor the size that the file claims, in memory that nobody
    has touched yet.

    Raises:
        ValueError: If one is.
    """
    seen, left = set(), [content]
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Tensor):
            size = max(
                value.numel() * value.element_size(),
                0 if value.is_sparse else value.untyped_storage().nbytes())
        elif isinstance(value, np.ndarray):
            size = value.nbytes
        else:
            size = 0
        if size > limit:
            raise ValueError(f'it claims to hold {size} bytes in one piece')
        if isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            left += value
        elif not isinstance(value, (Tensor, np.ndarray)):
            left += getattr(value, '__dict__', {}).values()


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
    """Let mmengine's own loading read files as :func:`read_file` does.

    Networks load pretrained parts through it (``init_cfg``, ``pretrained``).
    For addresses and zoos of models, mmengine 0.10 asks torch for loading
    that may run code.
    """
    from mmengine.runner.checkpoint import CheckpointLoader
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


def _reason(error: Exception) -> str:
    """The telling part of torch's long messages."""
    text = ' '.join(str(error).split())
    for mark in ('WeightsUnpickler error: ', 'Trying to load ', 'Unsupported'):
        if mark in text:
            text = text[text.index(mark):].replace(mark, '', 1) \
                if mark.endswith(': ') else text[text.index(mark):]
            break
    for end in ('. Please file', ' Please use', ' Check the documentation',
                ' was not an allowed global'):
        if end in text:
            text = text[:text.index(end)]
    return (text[:160] or type(error).__name__).rstrip('. ')


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
    path = local_file(path)
    content = read_file(path, trusted)
    state_dict, meta = content, {}
    if isinstance(content, dict):
        meta = content.get('meta') or {}
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
            f'{source} does not fit {name}: {key} is '
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
    return ', '.join(keys[:limit]) + more
