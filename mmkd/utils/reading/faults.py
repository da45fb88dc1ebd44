"""Why a file is not read, and how much memory reading may take."""
from typing import Any

_MIB = 1 << 20


class Fault(Exception):
    """A file is not read; the text goes on where the path of it ends."""


class Damaged(Fault):
    """The file is truncated, damaged, or contradicts itself."""


class Forbidden(Fault):
    """The file is whole, but is or holds what is not read."""


class Budget:
    """Memory that is left for what a file makes, in bytes.

    What is charged is never given back, so that it bounds the time as well.

    Args:
        size (int): Size of the file in bytes.
        factor (int): How often its size the memory may be. Defaults to 3.
    """

    __slots__ = ('size', 'limit', 'left', 'views', 'tuple_keys')

    def __init__(self, size: int, factor: int = 3) -> None:
        self.size = size
        self.limit = max(64 * _MIB, factor * size)
        # What the interpreter takes for itself is not charged.
        self.left = self.limit - 12 * _MIB
        # Bytes that tensors may show more than once, which copies of them
        # would take.
        self.views = 16 * max(size, _MIB)
        self.tuple_keys = 1000

    def charge(self, amount: int) -> None:
        """Take memory before it is used.

        Raises:
            Damaged: If there is not enough left.
        """
        self.left -= amount
        if self.left < 0:
            raise Damaged('it asks for more memory than '
                          f'{self.limit // _MIB} MiB, the most that a file of '
                          'its size may take')


def shown(value: Any, limit: int = 80) -> str:
    """A text out of a file, safe to print: short, on one line, escaped.

    Args:
        value (Any): A text; other plain values are shown as Python does.
        limit (int): Characters at most. Defaults to 80.
    """
    if isinstance(value, str):
        text = value[:limit + 1]
    elif isinstance(value, int) and value.bit_length() > 256:
        text = f'an integer of {value.bit_length()} bits'
    elif isinstance(value, (int, float, bool, type(None))):
        text = repr(value)
    elif isinstance(value, bytes):
        text = repr(value[:limit + 1])
    else:
        text = type(value).__name__
    text = ''.join(char if char.isprintable() else char.
                   encode('unicode_escape', 'surrogatepass').decode()
                   for char in text)
    return text if len(text) <= limit else text[:limit - 3] + '...'
