"""What torch writes: archives, and the format before torch 1.6."""
import struct
from typing import IO, Any, Dict, List

from .archive import (Entry, names_below, read_directory, read_entries_into,
                      read_entry)
from .faults import Budget, Damaged, Forbidden, shown
from .kinds import other_archive
from .machine import Machine
from .plain import check_plain
from .tensors import Storage, parse_storage_id

#: What the older format starts with.
_MAGIC, _LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
#: Version of torch's archives; see `caffe2/serialize/versions.h`.
_NEWEST_ARCHIVE = 10


class _Storages:
    """The storages of a file, each of which is made once.

    Their contents are read when the pickle is over.

    Args:
        budget (Budget): Pays for them.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.made: Dict[str, Storage] = {}

    def load(self, parts: Any) -> Storage:
        """The storage with a persistent id."""
        kind, key, numel = parse_storage_id(parts)
        storage = self.made.get(key)
        if storage is None:
            self.check_size(key, numel * kind.dtype.itemsize)
            storage = self.made[key] = Storage(kind, numel, self.budget)
        elif storage.kind.dtype != kind.dtype or storage.numel != numel:
            raise Damaged(f'the storage {shown(key)} has two types or sizes')
        return storage

    def check_size(self, key: str, size: int) -> None:
        """Check that the file has a storage of that many bytes."""

    def fill(self) -> None:
        """Read the contents, and check those that are not any number."""
        for storage in self.made.values():
            storage.check()


class _ArchivedStorages(_Storages):
    """Storages that are entries of an archive."""

    def __init__(self, file: IO[bytes], folder: str, entries: Dict[str, Entry],
                 budget: Budget) -> None:
        super().__init__(budget)
        self.file, self.folder, self.entries = file, folder, entries

    def check_size(self, key: str, size: int) -> None:
        entry = self.entries.get(f'{self.folder}/data/{key}')
        if entry is None:
            raise Damaged(f'the storage {shown(key)} is missing')
        if entry.size != size:
            raise Damaged(f'the storage {shown(key)} is of {entry.size} bytes '
                          f'and claims to be of {shown(size)}')

    def fill(self) -> None:
        read_entries_into(
            self.file,
            [(self.entries[f'{self.folder}/data/{key}'], storage.memory)
             for key, storage in self.made.items()])
        super().fill()


def read_archive(file: IO[bytes], budget: Budget) -> Any:
    """Read an archive of torch's.

    Args:
        file (IO[bytes]): The file.
        budget (Budget): Knows its size, and pays for all that is read.

    Raises:
        Damaged: If it is damaged, or contradicts itself.
        Forbidden: If it holds anything beside plain data and weights.
    """
    entries = read_directory(file, budget)
    folder, names = names_below(entries)
    kind = other_archive(names)
    if kind is not None:
        raise Forbidden(kind)
    if not folder:
        raise Damaged('its entries do not lie in one folder')

    def text(name: str, default: str) -> str:
        entry = entries.get(f'{folder}/{name}')
        if entry is None:
            return default
        if entry.size > 64:
            raise Damaged(f'its entry {name} is too long')
        return read_entry(file, entry).decode('latin-1')

    if text('byteorder', 'little') != 'little':
        raise Forbidden('was written with the byte order '
                        f'`{shown(text("byteorder", ""))}`, not `little`; '
                        'load and save it on a machine of that kind')
    version = text('version', text('.format_version', '3')).strip()
    if not version.isdecimal():
        raise Damaged(f'it has the version `{shown(version)}`')
    if int(version) > _NEWEST_ARCHIVE:
        raise Forbidden(f'is of version {int(version)} of torch\'s format; up '
                        f'to {_NEWEST_ARCHIVE} can be read')
    pickled = entries[f'{folder}/data.pkl']
    budget.charge(pickled.size)
    storages = _ArchivedStorages(file, folder, entries, budget)
    content = read_entry(file, pickled)
    machine = Machine(content, budget, storages.load)
    value = machine.run()
    if machine.place != len(content):
        raise Damaged('something follows its pickle')
    check_plain(value, budget)
    storages.fill()
    return value


def read_pickles(file: IO[bytes], budget: Budget) -> Any:
    """Read a file of torch before 1.6, or one plain pickle.

    The older format is a row of pickles (magic number, version, system,
    content, keys of the storages), and then each storage: the number of its
    elements in 64 bits, and their bytes.

    Args and errors are those of :func:`read_archive`.
    """
    budget.charge(budget.size)
    file.seek(0)
    content = file.read(budget.size)
    storages = _Storages(budget)
    values: List[Any] = []
    place = 0
    while len(values) < (5 if place and _is_magic(values[0]) else 1):
        # Tensors may be in the fourth only, and in no other pickle.
        machine = Machine(content, budget,
                          storages.load if len(values) == 3 else None, place)
        values.append(machine.run())
        check_plain(values[-1], budget)
        place = machine.place
    if len(values) == 1:
        if place != len(content):
            raise Damaged('something follows its pickle')
        return values[0]
    _, protocol, system, value, keys = values
    if protocol != _LEGACY_PROTOCOL or type(system) is not dict or \
            type(keys) is not list:
        raise Damaged('it has another head than torch writes')
    if system.get('little_endian') is not True:
        raise Forbidden('was written with the byte order `big`, not `little`; '
                        'load and save it on a machine of that kind')
    if len(keys) != len(storages.made) or not all(
            type(key) is str for key in keys) or \
            set(keys) != set(storages.made):
        raise Damaged('it lists other storages than its tensors have')
    for key in keys:
        storage = storages.made[key]
        start, end = place + 8, place + 8 + storage.size
        if end > len(content):
            raise Damaged('it ends within its tensors')
        numel, = struct.unpack_from('<q', content, place)
        if numel != storage.numel:
            raise Damaged(f'the storage {shown(key)} has two sizes')
        storage.memory[:] = memoryview(content)[start:end]
        place = end
    if place != len(content):
        raise Damaged('something follows its tensors')
    storages.fill()
    return value


def _is_magic(value: Any) -> bool:
    return type(value) is int and value == _MAGIC
