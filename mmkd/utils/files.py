"""Atomic writing of files, and locking of work folders."""
import errno
import hashlib
import json
import os
import os.path as osp
import re
import socket
import stat
import zlib
from contextlib import contextmanager, suppress
from typing import IO, Any, Callable, Iterator

from mmkd.errors import MMKDError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def file_hash(path: str) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for chunk in iter(lambda: file.read(1 << 20), b''):
            digest.update(chunk)
    return digest.hexdigest()


def write_file(path: str, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file atomically: it appears under its name once complete.

    The complete file survives a power failure. If writing fails, the previous
    file stays, and no partial file remains.

    Args:
        path (str): The file.
        write (Callable): Function that writes to a binary file object.

    Raises:
        OSError: If writing fails, for example on a full disk.
    """
    part = f'{path}.part'
    discard(part)  # a link would be followed
    try:
        with open(part, 'xb') as file:
            write(file)
        publish(part, path)
    except BaseException:
        discard(part)
        raise


def write_bytes(path: str, content: bytes) -> None:
    """Write a file and create its folder; see :func:`write_file`."""
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    write_file(path, lambda file: file.write(content))


def keep_edited(path: str, new: bytes) -> None:
    """Keep a file that is to get other content: somebody may have edited it.

    Args:
        path (str): The file, if there is one. What it holds is kept beside
            it, under its CRC, which the log says.
        new (bytes): What is to be written.
    """
    from mmengine.logging import print_log
    if not osp.isfile(path):
        return
    with open(path, 'rb') as file:
        old = file.read()
    if old == new:
        return
    kept = f'{path}.{zlib.crc32(old):08x}.old'
    with suppress(FileExistsError), open(kept, 'xb') as file:
        file.write(old)
    print_log(f'{path} changes; what it held is kept as {kept}', 'current')


def write_json(path: str, content: Any) -> None:
    """Write JSON with sorted keys; see :func:`write_bytes`."""
    text = json.dumps(content, sort_keys=True, separators=(',', ':'))
    write_bytes(path, text.encode())


def read_json(path: str) -> Any:
    """Read JSON."""
    with open(path, encoding='utf-8') as file:
        return json.load(file)


def publish(part: str, path: str) -> None:
    """Rename a complete file to its final name, durably.

    Args:
        part (str): The file, in the same folder.
        path (str): Its final name; an existing file is replaced.

    Raises:
        OSError: If its content cannot be synced to the disk.
    """
    _sync(part)
    os.replace(part, path)
    _sync(osp.dirname(osp.abspath(path)))


def discard(path: str) -> None:
    """Remove a file, or a link, if it is there."""
    if osp.lexists(path):
        os.remove(path)


@contextmanager
def only_trainer(work_dir: str) -> Iterator[None]:
    """Prevent other processes from training into a folder.

    The lock is released when the process ends, for whatever reason. On
    systems without locks (Windows, some network drives), it has no effect.

    Args:
        work_dir (str): Folder of a run.

    Raises:
        MMKDError: If another process, possibly on another machine, trains
            into the folder, or if the folder cannot be created.
    """
    path = osp.join(work_dir, '.training')
    try:
        os.makedirs(work_dir, exist_ok=True)
        file = _open_lock(path)
    except OSError as error:
        raise MMKDError(f'cannot train into {work_dir}: {path} cannot be '
                        f'opened ({error.strerror or error})') from error
    with file:
        try:
            if fcntl is not None:
                # Owned by this process only: data loader workers that outlive
                # a killed run would keep a lock by `flock`.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                file.seek(0)
                raise MMKDError(
                    f'another process trains into {work_dir} already '
                    f'({file.read().strip()}): let it end, or choose another '
                    'folder with --work-dir') from error
        file.seek(0)
        if not re.fullmatch(r'(process \d+ on [^\n]*\n)?', file.read(500)):
            raise MMKDError(f'{path} is not the lock of a run but another '
                            'file; move it away')
        file.truncate(0)
        file.write(f'process {os.getpid()} on {socket.gethostname()}\n')
        file.flush()
        yield


def _open_lock(path: str) -> IO[str]:
    """Open a lock file for reading and appending, without following links.

    Raises:
        OSError: If that is not possible.
    """
    if osp.islink(path):
        raise OSError('it is a link')
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
    for name in ('O_NOFOLLOW', 'O_NONBLOCK', 'O_CLOEXEC'):
        flags |= getattr(os, name, 0)  # Windows lacks them
    handle = os.open(path, flags, 0o666)
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(handle)
        raise OSError('it is a link, a pipe or a device, not a file')
    return os.fdopen(handle, 'a+', encoding='utf-8', errors='replace')


def _sync(path: str) -> None:
    """Sync a file, or the entries of a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
