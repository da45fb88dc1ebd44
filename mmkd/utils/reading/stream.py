"""What a pickle says in numbers and texts."""
import struct
from sys import getsizeof
from typing import Any, List

from .faults import Budget

#: Texts and bytes that are longer are charged before they are read.
_LONG = 1 << 10
_NUMBER = 32  # bytes of memory
_MAX_INTEGER = 1024  # bytes

_INT32 = struct.Struct('<i').unpack_from
_UINT16 = struct.Struct('<H').unpack_from
_UINT32 = struct.Struct('<I').unpack_from
_UINT64 = struct.Struct('<Q').unpack_from
_DOUBLE = struct.Struct('>d').unpack_from


class Stream:
    """The bytes of a pickle, and the operations that push a plain value.

    They raise IndexError or struct.error where the bytes end, ValueError
    where they make no sense.

    Args:
        content (bytes): The file, or the part with the pickle.
        budget (Budget): Pays for all that is made.
        start (int): Where the pickle starts.
    """

    def __init__(self, content: bytes, budget: Budget, start: int) -> None:
        self.content, self.budget = content, budget
        self.start = self.place = start
        self.stack: List[Any] = []

    def _take(self, length: int) -> bytes:
        """The next bytes."""
        place = self.place
        if length > len(self.content) - place:
            self.place = len(self.content)
            raise IndexError
        self.place = place + length
        return self.content[place:place + length]

    def proto(self) -> None:
        version = self._take(1)[0]
        if self.place != self.start + 2 or not 2 <= version <= 5:
            raise ValueError(f'protocol {version}')

    def frame(self) -> None:
        length, = _UINT64(self._take(8))
        if length > len(self.content) - self.place:
            self.place = len(self.content)
            raise IndexError

    # ------------------------------------------------- texts and numbers

    def none(self) -> None:
        self.stack.append(None)

    def true(self) -> None:
        self.stack.append(True)

    def false(self) -> None:
        self.stack.append(False)

    def int8(self) -> None:
        self.stack.append(self.content[self.place])
        self.place += 1

    def int16(self) -> None:
        self.stack.append(_UINT16(self.content, self.place)[0])
        self.place += 2
        self.budget.left -= _NUMBER

    def int32(self) -> None:
        self.stack.append(_INT32(self.content, self.place)[0])
        self.place += 4
        self.budget.left -= _NUMBER

    def float64(self) -> None:
        self.stack.append(_DOUBLE(self.content, self.place)[0])
        self.place += 8
        self.budget.left -= _NUMBER

    def long1(self) -> None:
        self._integer(self._take(1)[0])

    def long4(self) -> None:
        self._integer(_INT32(self._take(4))[0])

    def _integer(self, length: int) -> None:
        if not 0 <= length <= _MAX_INTEGER:
            raise ValueError(f'an integer of {length} bytes')
        self.stack.append(
            int.from_bytes(self._take(length), 'little', signed=True))
        self.budget.charge(_NUMBER + length)

    def text8(self) -> None:
        self._text(self._take(1)[0])

    def text32(self) -> None:
        self._text(_UINT32(self._take(4))[0])

    def text64(self) -> None:
        self._text(_UINT64(self._take(8))[0])

    def _text(self, length: int) -> None:
        raw = self._raw(length)
        if length > _LONG and not raw.isascii():
            # One rare character makes each of them as wide.
            top = max(raw.translate(None, bytes(range(0xC4))), default=0)
            wide = 4 if top >= 0xF0 else 2 if top else 1
            if (wide + 1) * length > self.budget.left:
                self.budget.charge((wide + 1) * length)
        text = str(raw, 'utf-8')
        self.stack.append(text)
        self.budget.left -= getsizeof(text)

    def bytes8(self) -> None:
        self._bytes(self._take(1)[0])

    def bytes32(self) -> None:
        self._bytes(_UINT32(self._take(4))[0])

    def bytes64(self) -> None:
        self._bytes(_UINT64(self._take(8))[0])

    def _bytes(self, length: int) -> None:
        self.stack.append(self._raw(length))
        self.budget.left -= 33 + length

    def bytearray64(self) -> None:
        length, = _UINT64(self._take(8))
        self.stack.append(bytearray(self._raw(length)))
        self.budget.left -= 57 + length

    def string8(self) -> None:
        self._string(self._take(1)[0])

    def string32(self) -> None:
        self._string(_INT32(self._take(4))[0])

    def _string(self, length: int) -> None:
        """A text of Python 2: its bytes were UTF-8, or anything."""
        if length < 0:
            raise ValueError('a text of negative length')
        raw = self._raw(length)
        self.budget.charge(4 * length + 76)
        try:
            self.stack.append(raw.decode('utf-8'))
        except UnicodeDecodeError:
            self.stack.append(raw.decode('latin-1'))

    def _raw(self, length: int) -> bytes:
        if length > _LONG and length > self.budget.left:
            self.budget.charge(min(length, len(self.content)))
        return self._take(length)
