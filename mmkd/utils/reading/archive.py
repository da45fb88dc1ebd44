"""The directory of a zip archive, as torch writes them.

Readers of zip archives differ in what they make of contradictions, and
attacks live on that. This one accepts archives in which everything is said
twice the same: entries lie one behind the other from the first byte to the
directory, uncompressed, each under one name.
"""
import os
import re
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import IO, Any, Dict, Iterable, List, NamedTuple, Tuple

from .faults import Budget, Damaged, Forbidden, shown

_DIRECTORY_END = struct.Struct('<4s4H2IH')
_LOCATOR = struct.Struct('<4sIQI')
_DIRECTORY_END_64 = struct.Struct('<4sQ2H2I4Q')
_CENTRAL = struct.Struct('<4s6H3I5H2I')
_LOCAL = struct.Struct('<4s5H3I2H')
_FULL = 0xFFFFFFFF
#: Memory of an entry, beside its name, in bytes.
_ENTRY_COST = 600
#: Contents of more bytes than that are read in several threads.
_PARALLEL = 8 << 20
_PIECE = 1 << 18
_READ_AT = hasattr(os, 'preadv')
#: Flags that matter for nothing: sizes follow the content; UTF-8.
_FOLLOWS, _UTF8 = 8, 0x800
#: What a name may be made of; torch's own take letters, digits, . _ - /.
_NAME = re.compile(r'[^\x00-\x1f\x7f\\:]+')


class Entry(NamedTuple):
    """A file in an archive: where its content starts, and what it is."""
    name: str
    start: int
    size: int
    crc: int


def read_directory(file: IO[bytes], budget: Budget) -> Dict[str, Entry]:
    """Read the directory of an archive, and check it against the entries.

    Args:
        file (IO[bytes]): The archive.
        budget (Budget): Knows its size, and pays for the directory.

    Returns:
        dict[str, Entry]: The entries by their names.

    Raises:
        Damaged: If anything contradicts itself.
        Forbidden: If an entry is compressed or encrypted.
    """
    count, start, end = _find_directory(file, budget.size)
    budget.charge(end - start + count * _ENTRY_COST)
    content = _read(file, start, end - start)
    entries: Dict[str, Entry] = {}
    offsets: List[Tuple[int, Entry, int]] = []
    place = 0
    for _ in range(count):
        if place + _CENTRAL.size > len(content):
            raise Damaged('the directory of the archive ends too early')
        fields = _CENTRAL.unpack_from(content, place)
        place += _CENTRAL.size
        name_end = place + fields[10]
        extra_end = name_end + fields[11]
        if extra_end > len(content):
            raise Damaged('the directory of the archive ends too early')
        name = _name(content[place:name_end])
        entry, offset = _entry(name, fields, content[name_end:extra_end])
        if name in entries:
            raise Damaged(f'it has several entries {shown(name)}')
        entries[name] = entry
        offsets.append((offset, entry, fields[3]))
        place = extra_end
    if place != len(content):
        raise Damaged('the directory of the archive holds more than entries')
    offsets.sort(key=lambda item: item[0])
    _check_contents(file, offsets, start, entries)
    return entries


def _find_directory(file: IO[bytes], size: int) -> Tuple[int, int, int]:
    """Number of entries, and where the directory starts and ends."""
    where = size - _DIRECTORY_END.size
    if where < 0:
        raise Damaged('it ends before the directory of the archive')
    (sign, disk, first_disk, here, count, length, start,
     comment) = _DIRECTORY_END.unpack(_read(file, where, _DIRECTORY_END.size))
    if sign != b'PK\x05\x06':
        raise Damaged('the directory of the archive is not at its end')
    if disk or first_disk or here != count or comment:
        raise Damaged('the end of the archive names other parts or a comment')
    end = where
    at = where - _LOCATOR.size
    tail = _read(file, at, _LOCATOR.size) if at >= 0 else b''
    if tail[:4] == b'PK\x06\x07':
        _, disk, place, disks = _LOCATOR.unpack(tail)
        end = at - _DIRECTORY_END_64.size
        if disk or disks > 1 or place != end:
            raise Damaged('the end of the archive points elsewhere')
        large = _DIRECTORY_END_64.unpack(
            _read(file, end, _DIRECTORY_END_64.size))
        if large[0] != b'PK\x06\x06' or large[1] != 44 or large[4] or \
                large[5] or large[6] != large[7]:
            raise Damaged('the end of the archive contradicts itself')
        for small, full, value in ((count, 0xFFFF, large[7]),
                                   (length, _FULL, large[8]), (start, _FULL,
                                                               large[9])):
            if small not in (value, full):
                raise Damaged('the end of the archive contradicts itself')
        count, length, start = large[7:10]
    if start + length != end or length < count * _CENTRAL.size:
        raise Damaged('the directory of the archive has the wrong size')
    return count, start, end


def _name(raw: bytes) -> str:
    try:
        name = raw.decode('utf-8')
    except UnicodeDecodeError:
        raise Damaged('an entry of the archive has a broken name') from None
    parts = name.split('/')
    if not _NAME.fullmatch(name) or {'', '.', '..'} & set(parts):
        raise Damaged(f'an entry of the archive is named `{shown(name)}`')
    return name


def _entry(name: str, fields: Tuple[Any, ...],
           extra: bytes) -> Tuple[Entry, int]:
    """An entry of the directory, without the place of its content, and
    where it starts."""
    (_, _, _, flags, method, _, _, crc, packed, size, _, _, comment, disk, _,
     _, offset) = fields
    if fields[0] != b'PK\x01\x02' or comment or disk:
        raise Damaged('the directory of the archive is damaged')
    if flags & ~(_FOLLOWS | _UTF8):
        raise Forbidden(f'has the encrypted or otherwise unusual entry '
                        f'{shown(name)}, which torch writes none of')
    large = _large(extra, [size, packed, offset], name)
    size, packed, offset = large
    if method or packed != size:
        raise Forbidden(
            f'has the compressed entry {shown(name)}, which torch writes none '
            'of; pack it again without compression (`zip -0`), or save it '
            'again with torch')
    return Entry(name, 0, size, crc), offset


def _large(extra: bytes, values: List[int], name: str) -> List[int]:
    """Put in the values that are too large for their fields."""
    place, found = 0, None
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from('<2H', extra, place)
        place += 4 + length
        if place > len(extra):
            break
        if kind == 1:
            if found is not None:
                break
            found = extra[place - length:place]
    else:
        missing = [i for i, value in enumerate(values) if value == _FULL]
        numbers = [] if found is None or len(found) % 8 else [
            number for number, in struct.iter_unpack('<Q', found)
        ]
        if place == len(extra) and len(numbers) == len(missing) and (
                found is None or len(found) == 8 * len(missing)):
            for i, number in zip(missing, numbers):
                values[i] = number
            return values
    raise Damaged(f'the entry {shown(name)} of the archive has a broken head')


def _check_contents(file: IO[bytes], offsets: List[Tuple[int, Entry, int]],
                    directory: int, entries: Dict[str, Entry]) -> None:
    """Check that the contents fill the file up to the directory, and note
    where each starts."""
    if not offsets:
        raise Damaged('the archive is empty')
    place = 0
    for offset, entry, flags in offsets:
        wrong = f'the entry {shown(entry.name)} of the archive '
        if offset != place or offset + _LOCAL.size > directory:
            raise Damaged(f'{wrong}does not follow the one before it')
        head = _LOCAL.unpack(_read(file, offset, _LOCAL.size))
        start = offset + _LOCAL.size + head[9] + head[10]
        place = start + entry.size
        if place > directory:
            raise Damaged(f'{wrong}reaches beyond the file')
        name_extra = _read(file, offset + _LOCAL.size, head[9] + head[10])
        packed_size = _local_sizes(head, name_extra[head[9]:], entry.name)
        told = (head[6], *packed_size)
        if head[0] != b'PK\x03\x04' or name_extra[:head[9]] != \
                entry.name.encode() or head[2] != flags or head[3]:
            raise Damaged(f'{wrong}is another there than in the directory')
        sizes = (entry.crc, entry.size, entry.size)
        if told != sizes and not (flags & _FOLLOWS and told == (0, 0, 0)):
            raise Damaged(f'{wrong}has another size or checksum there than '
                          'in the directory')
        if flags & _FOLLOWS:
            place += _check_trailer(file, place, directory, sizes, wrong)
        entries[entry.name] = entry._replace(start=start)
    if place != directory:
        raise Damaged('the archive holds something beside its entries')


def _local_sizes(head: Tuple[Any, ...], extra: bytes,
                 name: str) -> Tuple[int, int]:
    """Packed and full size in front of a content."""
    if _FULL in (head[7], head[8]):
        size, packed = _large(extra, [head[8], head[7]], name)
        return packed, size
    return head[7], head[8]


def _check_trailer(file: IO[bytes], place: int, directory: int,
                   sizes: Tuple[int, int, int], wrong: str) -> int:
    """Length of what repeats checksum and sizes behind a content."""
    for layout in ('<4s3I', '<4sI2Q'):
        length = struct.calcsize(layout)
        if place + length > directory:
            continue
        sign, *told = struct.unpack(layout, _read(file, place, length))
        if sign == b'PK\x07\x08' and tuple(told) == sizes:
            return length
    raise Damaged(f'{wrong}has another size or checksum behind it than in '
                  'the directory')


def read_entry(file: IO[bytes], entry: Entry) -> bytes:
    """Read a content, and compare its checksum."""
    content = _read(file, entry.start, entry.size)
    check_sum(entry, zlib.crc32(content))
    return content


def read_entries_into(file: IO[bytes], pairs: List[Tuple[Entry,
                                                         memoryview]]) -> None:
    """Read contents into memory of their size, and compare their checksums.

    Large ones share the processor's cores: reading, the first touch of the
    memory and the checksums take about the same time.
    """
    large = sum(entry.size for entry, _ in pairs) > _PARALLEL
    count = min(4, os.cpu_count() or 1) if large and _READ_AT else 1
    if count == 1:
        for entry, memory in pairs:
            _read_into(file, entry, memory)
        return
    with ThreadPoolExecutor(count) as pool:
        for _ in pool.map(lambda pair: _read_into(file, *pair), pairs):
            pass  # raises what was raised there


def _read_into(file: IO[bytes], entry: Entry, memory: memoryview) -> None:
    place, crc = 0, 0
    while place < len(memory):
        # In pieces that the checksum finds in the processor's cache.
        piece = memory[place:place + _PIECE]
        if _READ_AT:
            count = os.preadv(file.fileno(), [piece], entry.start + place)
        else:
            file.seek(entry.start + place)
            count = file.readinto(piece)
        if not count:
            raise Damaged('it became shorter while it was read')
        if entry.crc:
            crc = zlib.crc32(piece[:count], crc)
        place += count
    check_sum(entry, crc)


def check_sum(entry: Entry, crc: int) -> None:
    """Compare a checksum with the archive's, which torch can leave out."""
    if entry.crc and entry.crc != crc:
        raise Damaged(f'the checksum (CRC) of the entry {shown(entry.name)} '
                      'is wrong')


def names_below(names: Iterable[str]) -> Tuple[str, List[str]]:
    """The one folder that all names lie in (``''`` if there is none), and
    the names in it."""
    names = list(names)
    roots = {name.split('/', 1)[0] for name in names if '/' in name}
    if len(roots) == 1 and all('/' in name for name in names):
        root = roots.pop()
        return root, [name[len(root) + 1:] for name in names]
    return '', names


def _read(file: IO[bytes], place: int, length: int) -> bytes:
    file.seek(place)
    content = file.read(length)
    if len(content) != length:
        raise Damaged('it became shorter while it was read')
    return content
