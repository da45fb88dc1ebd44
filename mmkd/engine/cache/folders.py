"""The folders of a cache: one for each teacher and its settings."""
import os
import os.path as osp
import re
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

from mmkd.core.cache.store import Store, bytes_in, is_own
from mmkd.core.cache.teacher_cache import ABOUT
from mmkd.errors import ConfigError
from mmkd.utils.files import discard, read_json


@dataclass
class Folder:
    """The entries of a teacher.

    Attributes:
        name (str): Its fingerprint.
        path (str): The folder.
        about (dict): What the entries depend on, as far as it is known.
        entries (int): Number of entries.
        nbytes (int): Size of its files.
        written (float): Time of the last change, in seconds since 1970.
    """
    name: str
    path: str
    about: Dict[str, Any]
    entries: int
    nbytes: int
    written: float


def folders_of(root: str) -> List[Folder]:
    """The folders of a cache, the latest first.

    Args:
        root (str): The ``dir`` of a cache.

    Raises:
        ConfigError: If there is no such folder.
    """
    if not osp.isdir(root):
        raise ConfigError(f'there is no cache {root}')
    found = []
    for name in os.listdir(root):
        path = osp.join(root, name)
        if re.fullmatch('[0-9a-f]{16}', name) and osp.isdir(path):
            files = _own_files(path)
            found.append(
                Folder(name, path, _about(path), len(Store(path)),
                       bytes_in(path),
                       max(map(osp.getmtime, files), default=0.)))
    return sorted(found, key=lambda folder: -folder.written)


def prune(root: str,
          keep: Optional[Sequence[str]] = None,
          max_gb: Optional[float] = None) -> List[Folder]:
    """Remove the entries of teachers that are no longer used.

    Other files than those of the cache stay.

    Args:
        root (str): The ``dir`` of a cache.
        keep (list[str], optional): Fingerprints; all other folders are
            removed. Defaults to None.
        max_gb (float, optional): The folders that were written first are
            removed until the rest has this size. Defaults to None.

    Returns:
        list[Folder]: What was removed.

    Raises:
        ConfigError: If there is no such folder.
    """
    folders = folders_of(root)
    unknown = set(keep or ()) - {folder.name for folder in folders}
    if unknown:
        raise ConfigError(f'{root} has no folder {sorted(unknown)[0]}; '
                          '`mmkd cache info` lists them')
    removed = []
    if keep is not None:
        removed = [folder for folder in folders if folder.name not in keep]
    left = [folder for folder in folders if folder not in removed]
    while max_gb is not None and left and sum(
            folder.nbytes for folder in left) > max_gb * 1e9:
        removed.append(left.pop())
    for folder in removed:
        for path in _own_files(folder.path):
            discard(path)
        if not os.listdir(folder.path):
            os.rmdir(folder.path)
    return removed


def _own_files(folder: str) -> List[str]:
    paths = [osp.join(folder, name) for name in os.listdir(folder)]
    return [
        path for path in paths
        if is_own(path) or (osp.basename(path) == ABOUT and _about(folder))
    ]


def _about(folder: str) -> Dict[str, Any]:
    try:
        found = read_json(osp.join(folder, ABOUT))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and 'taps' in found else {}
