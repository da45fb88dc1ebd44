"""Reading files from elsewhere, which may be made to do harm.

Nothing in a file is handed to torch or numpy before it was checked here:
directories of archives, pickles, and the place of each tensor. Whatever a
file holds, reading it runs none of its code, and takes no more than
max(64 MiB, 3 times its size) of memory and about a second for each MiB.

A reader of this package follows a file from top to bottom: :mod:`.kinds`
tells what it is, :mod:`.archive` finds the parts, :mod:`.machine` runs the
pickle (:mod:`.stream`: its numbers and texts), :mod:`.known` builds what the
pickle names, :mod:`.tensors` and :mod:`.arrays` check that it lies inside
its memory, and :mod:`.plain` looks at the result.
"""
import os
import stat
from contextlib import contextmanager
from typing import IO, Any, Dict, Iterator, Tuple

from torch import Tensor

from .faults import Budget, Damaged, Fault, Forbidden, shown
from .kinds import HEAD, is_safetensors, is_torch, refuse_other
from .safetensors_files import read_safetensors
from .torch_files import read_archive, read_pickles

__all__ = [
    'Damaged', 'Fault', 'Forbidden', 'look_at', 'read_index', 'read_tensors',
    'read_torch', 'shown'
]
#: Memory of an index file, whose numbers take more as objects than written.
_INDEX_FACTOR = 24


def read_torch(path: str) -> Any:
    """Read what ``torch.save`` has written, as plain data.

    Args:
        path (str): The file.

    Returns:
        Any: What it holds; tensors are on the CPU.

    Raises:
        Damaged: If it is damaged.
        Forbidden: If it is, or holds, something else.
        OSError: If it cannot be read.
    """
    with _open(path) as (file, size, head):
        if head[:4] == b'PK\x03\x04':
            return read_archive(file, Budget(size))
        if is_safetensors(head, size):
            raise Forbidden('is a safetensors file; rename it to '
                            '*.safetensors')
        refuse_other(head, size)
        _refuse_protocol(head)
        return read_pickles(file, Budget(size))


def look_at(path: str) -> None:
    """Refuse a file that is not a checkpoint; see :func:`read_torch`."""
    with _open(path) as (_, size, head):
        refuse_other(head, size)


def read_tensors(path: str) -> Tuple[Dict[str, Tensor], Dict[str, str]]:
    """Read a file of safetensors; see :func:`read_torch`.

    Returns:
        tuple[dict[str, Tensor], dict[str, str]]: Tensors, and texts.
    """
    with _open(path) as (file, size, head):
        if not is_safetensors(head, size):
            if is_torch(head):
                raise Forbidden('is a torch checkpoint, not a safetensors '
                                'file; rename it to *.pth')
            refuse_other(head, size)
        return read_safetensors(file, Budget(size))


def read_index(path: str) -> Any:
    """Read a pickle of dicts, lists, numbers, texts and arrays, such as the
    index files of mmdet3d; see :func:`read_torch`."""
    with _open(path) as (file, size, head):
        return read_index_from(file, size, head)


def read_index_from(file: IO[bytes], size: int, head: bytes) -> Any:
    """:func:`read_index` of a file that is open, of that size, and starts so.
    """
    refuse_other(head, size)
    if head[:4] == b'PK\x03\x04':
        raise Forbidden('is a zip archive or a checkpoint, not an index file')
    _refuse_protocol(head)
    return read_pickles(file, Budget(size, _INDEX_FACTOR))


def _refuse_protocol(head: bytes) -> None:
    if head[:1] != b'\x80':
        raise Damaged(
            'it does not start like a checkpoint (pickles of protocol 0 '
            'or 1 are not read)')


@contextmanager
def _open(path: str) -> Iterator[Tuple[IO[bytes], int, bytes]]:
    """A file, its size, and its first bytes."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise Forbidden('is not a regular file')
    with open(path, 'rb', buffering=0) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise Forbidden('is not a regular file')
        yield file, found.st_size, file.read(HEAD)
