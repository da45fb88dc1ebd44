"""Records on disk: shards of raw bytes, and an index of each."""
import logging
import math
import os
import os.path as osp
import struct
import time
import zlib
from typing import (IO, Dict, Iterator, List, NamedTuple, Optional, Sequence,
                    Tuple)

import numpy as np
import torch
from mmengine.logging import print_log

from mmkd.core.cache.records import Layout, Stored
from mmkd.errors import ConfigError

#: Increased when files of this version could not be read by an older one.
FORMAT = 1
#: Begins every file; in the byte order of the machine, so that one of another
#: order is not read.
HEADER = struct.pack('=8sI', b'mmkdmaps', FORMAT)
#: Bytes after which a new shard begins.
SHARD = 2**30
KEY = 16
#: Key, offset, number of bytes and CRC32 of a record; number of tensors.
_ENTRY = struct.Struct(f'={KEY}sQQIH')
#: Types of the stored values and of the tensor; number of dimensions.
_TENSOR = struct.Struct('=BBB')
_CRC = struct.Struct('=I')
_DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int8)

#: Tensors of one sample.
Record = List[Stored]


class Entry(NamedTuple):
    """Where a record is.

    Attributes:
        shard (str): Path of its file.
        offset (int): Its first byte.
        crc (int): CRC32 of its bytes.
        layouts (tuple[Layout]): Layout of each tensor.
    """
    shard: str
    offset: int
    crc: int
    layouts: Tuple[Layout, ...]

    @property
    def size(self) -> int:
        """Number of bytes."""
        return sum(sum(layout.sizes) for layout in self.layouts)


class Store:
    """Records by key in a folder that several processes may write to.

    Each process writes files of its own, ``<time>-rank<n>-<number>.bin`` and
    ``.idx``, and never changes an existing one. The index gets its entry once
    the record is written, so a killed writer leaves at most bytes that no
    entry names. Every record that is read is compared with its checksum. A
    damaged one counts as missing.

    If the disk is full, or the limit is reached, nothing more is written, and
    a warning says so once.

    Args:
        folder (str): The folder; created when the first record is written.
        room (float): Number of bytes that this process may write. Defaults to
            infinity.
        rank (int): Number of the process. Defaults to 0.

    Raises:
        ConfigError: If the folder is a file, or cannot be read.
    """

    def __init__(self,
                 folder: str,
                 room: float = math.inf,
                 rank: int = 0) -> None:
        if osp.lexists(folder) and not osp.isdir(folder):
            raise ConfigError(f'the cache {folder} is a file; choose another '
                              'folder')
        self.folder = folder
        self.damaged = 0
        self._room = room
        self._rank = rank
        self._entries: Dict[bytes, Entry] = {}
        self._read_until: Dict[str, int] = {}
        self._maps: Dict[str, np.memmap] = {}
        self._layouts: Dict[Tuple[Layout, ...], Tuple[Layout, ...]] = {}
        self._writer: Optional['_Writer'] = None
        self._writes = True
        self.refresh()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: bytes) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[bytes]:
        return iter(list(self._entries))

    @property
    def is_full(self) -> bool:
        """Whether nothing more is written."""
        return not self._writes

    @property
    def nbytes(self) -> int:
        """Number of bytes of the records."""
        return sum(entry.size for entry in self._entries.values())

    def refresh(self) -> None:
        """Find records that other processes have written since.

        Of several records with one key, the latest is taken.
        """
        try:
            names = sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(f'the cache {self.folder} cannot be read '
                              f'({error.strerror})') from error
        for name in names:
            path = osp.join(self.folder, name)
            if name.endswith('.idx') and osp.isfile(path):
                self._read_index(path)

    def get(self, key: bytes) -> Optional[Record]:
        """The record of a key; None if there is none, or it is damaged."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        content = self._bytes_of(entry)
        if content is None or zlib.crc32(content.data) != entry.crc:
            del self._entries[key]
            self.damaged += 1
            if self.damaged == 1:
                self._warn(f'a record in {entry.shard} is damaged; such '
                           'records are computed again')
            return None
        record, begin = [], 0
        for layout in entry.layouts:
            end = begin + sum(layout.sizes)
            record.append(Stored.from_bytes(content[begin:end], layout))
            begin = end
        return record

    def put(self, key: bytes, record: Sequence[Stored]) -> bool:
        """Write a record.

        Returns:
            bool: Whether it was written.
        """
        if not self._writes:
            return False
        content = b''.join(part.to_bytes() for part in record)
        entry = Entry('', 0, zlib.crc32(content),
                      tuple(part.layout for part in record))
        if len(content) > self._room:
            return self._stop('it holds `max_gb` of data')
        try:
            if self._writer is None or self._writer.is_full:
                self.close()
                self._writer = _Writer(self.folder, self._rank)
            entry = self._writer.write(key, content, entry)
        except OSError as error:
            self.close()
            return self._stop(error.strerror or str(error))
        self._room -= len(content)
        self._entries[key] = self._shared(entry)
        return True

    def close(self) -> None:
        """Close the files of this process; a later record opens new ones."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _stop(self, reason: str) -> bool:
        self._writes = False
        self._warn(f'the cache {self.folder} stores nothing more: {reason}. '
                   'Training goes on, and the teacher computes what is '
                   'missing')
        return False

    @staticmethod
    def _warn(message: str) -> None:
        print_log(message, 'current', logging.WARNING)

    def _shared(self, entry: Entry) -> Entry:
        """The entry with layouts that equal ones share, to save memory."""
        layouts = self._layouts.setdefault(entry.layouts, entry.layouts)
        return entry._replace(layouts=layouts)

    def _bytes_of(self, entry: Entry) -> Optional[np.ndarray]:
        end = entry.offset + entry.size
        content = self._maps.get(entry.shard)
        if content is None or len(content) < end:  # it may have grown
            try:
                content = np.memmap(entry.shard, np.uint8, 'r')
            except (OSError, ValueError):
                return None
            self._maps[entry.shard] = content
        return content[entry.offset:end] if len(content) >= end else None

    def _read_index(self, path: str) -> None:
        """Read the entries of an index that are complete."""
        shard = f'{path[:-4]}.bin'
        begin = self._read_until.get(path, 0)
        try:
            with open(path, 'rb') as file:
                if not begin and file.read(len(HEADER)) != HEADER:
                    return  # another version, or somebody else's file
                begin = begin or len(HEADER)
                file.seek(begin)
                content = file.read()
            size = osp.getsize(shard)
        except OSError:
            return
        position = 0
        for key, entry, end in _entries_in(content, shard):
            if entry.offset + entry.size > size:
                break
            self._entries[key] = self._shared(entry)
            position = end
        self._read_until[path] = begin + position


def _entries_in(content: bytes,
                shard: str) -> Iterator[Tuple[bytes, Entry, int]]:
    """Key, entry and end of each complete entry of an index."""
    position = 0
    while position + _ENTRY.size <= len(content):
        key, offset, size, crc, count = _ENTRY.unpack_from(content, position)
        end = position + _ENTRY.size
        layouts = []
        try:
            for _ in range(count):
                stored, dtype, dims = _TENSOR.unpack_from(content, end)
                end += _TENSOR.size
                shape = struct.unpack_from(f'={dims}I', content, end)
                end += 4 * dims
                layouts.append(Layout(shape, _DTYPES[stored], _DTYPES[dtype]))
            given, = _CRC.unpack_from(content, end)
        except (struct.error, IndexError):
            return
        entry = Entry(shard, offset, crc, tuple(layouts))
        if given != zlib.crc32(content[position:end]) or entry.size != size:
            return
        position = end + _CRC.size
        yield key, entry, position


class _Writer:
    """Writes a shard and its index, which are new files.

    Args:
        folder (str): Folder of the files; created.
        rank (int): Number of the process.

    Raises:
        OSError: If they cannot be created.
    """

    def __init__(self, folder: str, rank: int) -> None:
        os.makedirs(folder, exist_ok=True)
        while True:
            # In the order of time, so that the latest record is found last.
            stem = osp.join(folder, f'{time.time_ns():016x}-rank{rank}')
            try:
                self._records = _create(f'{stem}.bin')
                break
            except FileExistsError:
                continue
        self.shard, self.index = f'{stem}.bin', f'{stem}.idx'
        self._index = _create(self.index)
        self._end = len(HEADER)

    @property
    def is_full(self) -> bool:
        """Whether another shard should begin."""
        return self._end >= SHARD

    def write(self, key: bytes, content: bytes, entry: Entry) -> Entry:
        """Write a record, then its entry.

        Raises:
            OSError: If it cannot be written.
        """
        entry = entry._replace(shard=self.shard, offset=self._end)
        self._records.write(content)
        self._records.flush()
        self._end += len(content)
        text = _ENTRY.pack(key, entry.offset, len(content), entry.crc,
                           len(entry.layouts))
        for shape, stored, dtype in entry.layouts:
            text += _TENSOR.pack(
                _DTYPES.index(stored), _DTYPES.index(dtype), len(shape))
            text += struct.pack(f'={len(shape)}I', *shape)
        self._index.write(text + _CRC.pack(zlib.crc32(text)))
        self._index.flush()
        return entry

    def close(self) -> None:
        """Close both files."""
        for file in (self._records, self._index):
            try:
                file.close()
            except OSError:  # what is left in the buffer of a full disk
                pass


def _create(path: str) -> IO[bytes]:
    """Create a file that does not exist, with the header."""
    file = open(path, 'xb')
    try:
        file.write(HEADER)
        file.flush()
    except OSError:
        file.close()
        raise
    return file


def is_own(path: str) -> bool:
    """Whether a file is a shard or an index of a cache, of any version."""
    if not path.endswith(('.bin', '.idx')) or osp.islink(path):
        return False
    try:
        with open(path, 'rb') as file:
            return file.read(8) == HEADER[:8]
    except OSError:
        return False


def bytes_in(folder: str) -> int:
    """Number of bytes of the shards and indices under a folder."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            path = osp.join(root, name)
            if is_own(path):
                total += osp.getsize(path)
    return total
