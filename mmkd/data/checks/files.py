"""Files that cannot be read, found without reading them where possible."""
import json
import os
import os.path as osp
import stat
from collections import defaultdict
from typing import Any, Dict, Iterable, List, Optional, Tuple

import numpy as np
from PIL import Image

from mmkd.data.checks.problems import Problem
from mmkd.errors import DataError
from mmkd.utils.collector import paused_collector
from mmkd.utils.index import read_index_file

#: A folder is listed, instead of asking for each file, if so many are needed.
_MANY = 200


def file_fault(path: str, empty: bool = False) -> Optional[str]:
    """Say why a path is no file with content, without opening it.

    Opening a named pipe or a device may block forever.

    Args:
        path (str): A local path.
        empty (bool): Whether the file may be empty. Defaults to False.

    Returns:
        str, optional: The fault, or None.
    """
    try:
        status = os.stat(path)
    except FileNotFoundError:
        if osp.islink(path):
            return f'is a link to {os.readlink(path)}, which does not exist'
        return 'there is no such file'
    except (OSError, ValueError) as error:
        return f'cannot be read ({getattr(error, "strerror", "") or error})'
    if stat.S_ISDIR(status.st_mode):
        return 'is a folder, not a file'
    if is_endless(path):
        return 'is a named pipe or a device, not a file'
    if not status.st_size and not empty:
        return 'is empty'
    if not os.access(path, os.R_OK):
        return 'cannot be read (Permission denied)'
    return None


def is_endless(path: str) -> bool:
    """Whether a path is a named pipe, a socket or a device."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def is_local(path: Any, backend_args: Any = None) -> bool:
    """Whether a path is one of this file system."""
    backend = (backend_args or {}).get('backend', 'local')
    return (isinstance(path, str) and '://' not in path
            and backend in ('local', 'LocalBackend'))


def missing_files(paths: Iterable[Tuple[str, str, str]],
                  remedy: str) -> List[Problem]:
    """Find paths that are no files.

    Args:
        paths (Iterable[tuple[str, str, str]]): Path, index file and record
            that name it; the last two may be empty.
        remedy (str): What the user can do.

    Returns:
        list[Problem]: One for each.
    """
    folders: Dict[str, List[Tuple[str, str, str]]] = defaultdict(list)
    for item in paths:
        folders[osp.dirname(item[0])].append(item)
    found = []
    for folder, items in folders.items():
        known = _files_in(folder) if len(items) > _MANY else frozenset()
        for path, index, entry in items:
            if osp.basename(path) in known:
                continue
            fault = file_fault(path, empty=True)
            if fault:
                source = f' ({entry} of {index})' if index else ''
                found.append(Problem(path, '', fault + source, remedy))
    return found


def _files_in(folder: str) -> frozenset:
    try:
        with os.scandir(folder or '.') as entries:
            return frozenset(
                entry.name for entry in entries
                if entry.is_file(follow_symlinks=False))
    except OSError:
        return frozenset()


def read_index(path: str) -> Any:
    """Read a ``.json`` or ``.pkl`` file.

    Raises:
        DataError: If it cannot be read.
    """
    fault = file_fault(path)
    if fault:
        raise DataError(f'{path}: {fault}')
    try:
        with paused_collector():
            if path.endswith('.json'):
                with open(path, encoding='utf-8') as file:
                    return json.load(file)
            return read_index_file(path)
    except DataError:
        raise
    except Exception as error:
        reason = ' '.join(str(error).split())[:120]
        raise DataError(f'{path}: cannot be read ({type(error).__name__}: '
                        f'{reason})') from error


def image_fault(path: str) -> Optional[str]:
    """Say why a file is no complete image; decodes it."""
    fault = file_fault(path)
    if fault:
        return fault
    try:
        with Image.open(path) as image:
            image.load()
    except Exception as error:
        head = _head(path)
        if head.lstrip()[:1] == b'<':
            return 'is a text (XML or HTML), not an image'
        if head.startswith(b'version https://git-lfs'):
            return 'is a pointer of git-lfs, not an image; run git lfs pull'
        reason = ' '.join(str(error).replace(repr(path), 'it').split())
        return f'is no complete image ({reason[:120]})'
    return None


def scan_fault(path: str, columns: Optional[int] = None) -> Optional[str]:
    """Say why a file is no scan of float32 with so many columns."""
    fault = file_fault(path)
    if fault:
        return fault
    if not path.endswith('.bin'):
        return None
    head = _head(path)
    if looks_like_text(np.frombuffer(head, np.uint8)):
        return 'is a text, not the float32 numbers of points'
    size = osp.getsize(path)
    if columns and size % (4 * columns):
        fits = [n for n in range(3, 9) if size % (4 * n) == 0]
        return (f'has {size} bytes, which are no rows of {columns} float32 '
                'numbers (`load_dim`)' +
                (f'; rows of {" or ".join(map(str, fits))} would fit'
                 if fits else '; it is cut'))
    return None


def looks_like_text(content: np.ndarray) -> bool:
    """Whether bytes are printable; those of float32 numbers hardly ever are.

    Args:
        content (np.ndarray): uint8 of any length.
    """
    part = content[:4096]
    return len(part) >= 64 and bool(
        (((part >= 32) & (part < 127)) | ((part >= 9) & (part <= 13))).all())


def _head(path: str) -> bytes:
    try:
        with open(path, 'rb') as file:
            return file.read(4096)
    except OSError:
        return b''
