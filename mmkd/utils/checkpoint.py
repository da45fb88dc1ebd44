"""Reading checkpoints without running code from them."""
import os.path as osp
import pickle
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import torch
from torch import Tensor, nn

from mmkd.errors import CheckpointError


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
    from mmengine.config import ConfigDict
    from mmengine.logging import HistoryBuffer
    numpy_core = np.core.multiarray
    dtypes = [
        type(np.dtype(kind)) for kind in ('f2', 'f4', 'f8', 'i1', 'i2', 'i4',
                                          'i8', 'u1', 'u2', 'u4', 'u8', '?')
    ]
    return [
        HistoryBuffer, (_getattr_stand_in, 'builtins.getattr'), ConfigDict,
        np.ndarray, np.dtype, numpy_core._reconstruct, numpy_core.scalar,
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
        meta = self.meta.get('dataset_meta') or {}
        classes = meta.get('classes', self.meta.get('CLASSES'))
        return list(classes) if classes else None


def read_file(path: str, trusted: bool = False) -> Any:
    """Read a checkpoint file as data.

    Args:
        path (str): A ``.pth`` or ``.safetensors`` file, or an http(s)
            address.
        trusted (bool): Whether the user vouches for this very file, so that
            it may run code. Defaults to False.

    Returns:
        Any: What the file holds; tensors are on the CPU.

    Raises:
        CheckpointError: If it is missing, broken, or holds more than data.
    """
    if path.startswith(('http://', 'https://')):
        try:
            path = _download(path)
        except OSError as error:
            raise CheckpointError(
                f'cannot download the checkpoint {path} ({error}); fetch it '
                'by other means and give its path') from None
    path = osp.expanduser(path)
    if not osp.isfile(path):
        raise CheckpointError(f'there is no checkpoint {path}')
    if path.endswith('.safetensors'):
        from safetensors import SafetensorError, safe_open
        try:
            with safe_open(path, framework='pt') as file:
                state_dict = {key: file.get_tensor(key) for key in file.keys()}
                return dict(
                    state_dict=state_dict, meta=dict(file.metadata() or {}))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f'{path} is broken or no safetensors file ({error})') from None
    try:
        if trusted:
            return torch.load(path, map_location='cpu', weights_only=False)
        with torch.serialization.safe_globals(allowed_globals()):
            return torch.load(path, map_location='cpu', weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f'{path} holds more than weights and plain data, and was not '
            f'loaded: {_reason(error)}. If you trust its source, say '
            '`trusted=True` for this file in the config.') from None
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError,
            AttributeError, IndexError) as error:
        size = osp.getsize(path)
        raise CheckpointError(
            f'{path} ({size} bytes) is truncated or no checkpoint: '
            f'{_reason(error)}') from None


def _download(url: str) -> str:
    from torch.hub import download_url_to_file, get_dir
    folder = osp.join(get_dir(), 'checkpoints')
    target = osp.join(folder, osp.basename(url.split('?')[0]))
    if not osp.exists(target):
        import os
        os.makedirs(folder, exist_ok=True)
        download_url_to_file(url, target, progress=True)
    return target


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


def read_checkpoint(path: str, trusted: bool = False) -> Checkpoint:
    """Read the weights of a checkpoint; see :func:`read_file`.

    Keys lose the prefix ``module.`` of a parallel wrapper. A checkpoint of a
    distillation run gives its student.

    Returns:
        Checkpoint: Weights and what the writer said of them.

    Raises:
        CheckpointError: If the file holds no weights, or as in
            :func:`read_file`.
    """
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
        CheckpointError: If shapes differ or weights are missing.
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


def _class_hint(key: str) -> str:
    head = any(part in key for part in ('conv_seg', 'cls', 'head'))
    return '; was it trained on other classes?' if head else ''


def _some(keys: Any, limit: int = 2) -> str:
    keys = list(keys)
    more = ', ...' if len(keys) > limit else ''
    return ', '.join(keys[:limit]) + more
