"""What identifies a record: the inputs, and the teacher that computed it."""
import hashlib
import json
import numbers
import re
from importlib import metadata
from typing import Any, Dict, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from mmkd.core.cache.store import FORMAT, KEY

#: Libraries whose networks of one name differ between major versions.
_VERSIONED = ('timm', 'transformers')


def content_key(*parts: Any) -> bytes:
    """Key of inputs.

    Args:
        *parts: Tensors, arrays and numbers, and lists, tuples and dicts of
            them. Anything else, such as text, is ignored. Tensors should be
            on the host.

    Returns:
        bytes: The first :data:`~mmkd.core.cache.store.KEY` bytes of SHA-256
        of the values, shapes and types.
    """
    digest = hashlib.sha256()
    for part in parts:
        _add(digest, part)
    return digest.digest()[:KEY]


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in 'biuf':
            return
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, Tensor):
        digest.update(f'{value.dtype}{tuple(value.shape)}'.encode())
        value = value.detach().cpu().contiguous().reshape(-1)
        if len(value):
            digest.update(memoryview(value.view(torch.uint8).numpy()))
    elif isinstance(value, numbers.Real):
        digest.update(f'{float(value)!r};'.encode())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            digest.update(f'{key}='.encode())
            _add(digest, value[key])
    elif isinstance(value, (list, tuple)):
        digest.update(f'[{len(value)}'.encode())
        for item in value:
            _add(digest, item)


def weights_hash(network: nn.Module) -> str:
    """SHA-256 of a network's weights and buffers, with their names."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode())
        _add(digest, value)
    return digest.hexdigest()


def library_versions(network: nn.Module) -> Dict[str, str]:
    """Major versions of the libraries that define parts of a network, of
    those that matter."""
    used = {
        type(module).__module__.split('.')[0]
        for module in network.modules()
    }
    return {
        name: metadata.version(name).split('.')[0]
        for name in _VERSIONED if name in used
    }


def fingerprint(facts: Any) -> str:
    """Name of the folder of a teacher's records.

    Args:
        facts (Any): All that the records depend on, but for the inputs, as
            plain data. Of other objects, the text counts, without addresses.

    Returns:
        str: 16 hexadecimal digits, which depend on the version of the files
        too.
    """
    text = json.dumps([FORMAT, facts], sort_keys=True, default=repr)
    text = re.sub(r' at 0x[0-9a-f]+', '', text)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
