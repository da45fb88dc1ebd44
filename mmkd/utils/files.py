"""Writing files that are whole or absent."""
import os
import os.path as osp
from typing import IO, Any, Callable


def write_file(path: str, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file, which appears under its name when it is complete.

    It stays so where the machine loses its power after that. Where writing
    fails, what was there before is there still, and nothing else.

    Args:
        path (str): The file.
        write (Callable): Is called with a file that is open for bytes.

    Raises:
        OSError: If it cannot be written: the disk is full, for instance.
    """
    part = f'{path}.part'
    try:
        with open(part, 'wb') as file:
            write(file)
        publish(part, path)
    except BaseException:
        discard(part)
        raise


def publish(part: str, path: str) -> None:
    """Give a file that has been written its name, for good.

    Args:
        part (str): The file, in the same folder.
        path (str): Its name; a file of that name is replaced.

    Raises:
        OSError: If its content cannot be brought to the disk.
    """
    _sync(part)
    os.replace(part, path)
    _sync(osp.dirname(osp.abspath(path)))


def discard(path: str) -> None:
    """Remove a file if it is there."""
    if osp.exists(path):
        os.remove(path)


def _sync(path: str) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
