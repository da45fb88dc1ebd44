"""Arrays and numbers of numpy, from bytes and plain types only.

numpy's own ``__setstate__`` is not used: given types of objects, it follows
addresses that the file holds.
"""
import re
from math import prod
from typing import Any, Tuple

import numpy as np

from .faults import Budget, Damaged, Forbidden, shown

#: Bools, integers, floats and complex numbers; bytes and texts of one width.
_DTYPE = re.compile(r'[<|=]?(b1|[iu][1248]|f[248]|c8|c16|[SU]\d{1,6})')
_MAX_DIMS = 32
_LARGE = 1 << 48


class Array:
    """Stands for an array until its content is known.

    Attributes:
        index (int, optional): Its place in the memo of the pickle.
    """
    __slots__ = ('index', )

    def __init__(self) -> None:
        self.index = None


def as_dtype(args: Tuple[Any, ...], budget: Budget) -> np.dtype:
    """``numpy.dtype``: its code, and two flags."""
    code = args[0]
    if type(code) is not str or len(args) > 3:
        raise Damaged('one of its arrays has no proper type')
    if not _DTYPE.fullmatch(code):
        raise Forbidden(f'holds an array of the type `{shown(code)}`: only '
                        'numbers and texts are read, no objects')
    return np.dtype(code)


def check_dtype_state(dtype: np.dtype, state: Any) -> None:
    """What a pickle adds to a type must say nothing new."""
    if type(state) is not tuple or len(state) not in (8, 9) or \
            state[1] not in ('<', '|', '=') or state[2:5] != (None, ) * 3:
        raise Forbidden('holds an array of an unusual type (of the other '
                        'byte order, or of records)')
    if type(state[5]) is not int or state[5] not in (-1, dtype.itemsize):
        raise Damaged('one of its arrays has the wrong width')


def reconstruct(args: Tuple[Any, ...], budget: Budget) -> Array:
    """``numpy.core.multiarray._reconstruct``: an array to be filled."""
    kind, _, _ = args
    if getattr(kind, 'name', '') != 'numpy.ndarray':
        raise Forbidden('holds an array of a class of its own')
    return Array()


def make_array(state: Any, budget: Budget) -> np.ndarray:
    """What fills an array: version, shape, type, order, bytes."""
    if type(state) is not tuple or len(state) not in (4, 5):
        raise Damaged('one of its arrays is damaged')
    shape, dtype, fortran, content = state[-4:]
    if type(fortran) not in (bool, int):
        raise Damaged('one of its arrays is damaged')
    return _array(content, dtype, shape, 'F' if fortran else 'C', budget)


def from_buffer(args: Tuple[Any, ...], budget: Budget) -> np.ndarray:
    """``numpy.core.numeric._frombuffer``: bytes, type, shape, order."""
    content, dtype, shape, order = args
    if order not in ('C', 'F'):
        raise Damaged('one of its arrays is damaged')
    return _array(content, dtype, shape, order, budget)


def as_scalar(args: Tuple[Any, ...], budget: Budget) -> np.generic:
    """``numpy.core.multiarray.scalar``: a type and the bytes."""
    dtype, content = args
    return _array(content, dtype, (1, ), 'C', budget)[0]


def _array(content: Any, dtype: Any, shape: Any, order: str,
           budget: Budget) -> np.ndarray:
    """An array of its own memory.

    Raises:
        Damaged: If the bytes are more or less than the shape asks for.
        Forbidden: If it holds objects.
    """
    if type(content) is list:
        raise Forbidden('holds an array of Python objects')
    if not isinstance(dtype, np.dtype) or type(content) not in (
            bytes, bytearray) or type(shape) is not tuple:
        raise Damaged('one of its arrays is damaged')
    if len(shape) > _MAX_DIMS or not all(
            type(length) is int and 0 <= length < _LARGE
            for length in shape) or prod(max(length, 1)
                                         for length in shape) >= _LARGE:
        raise Damaged('one of its arrays has no proper shape')
    if prod(shape) * dtype.itemsize != len(content):
        raise Damaged(f'one of its arrays claims to hold '
                      f'{prod(shape) * dtype.itemsize} bytes, and has '
                      f'{len(content)}')
    budget.charge(128 + len(content))
    if not content:
        # numpy makes room for texts of no width.
        if prod(shape) > 1:
            raise Damaged('one of its arrays has no proper shape')
        return np.zeros(shape, dtype, order)
    if dtype.kind == 'b' and np.frombuffer(content, 'u1').max() > 1:
        raise Damaged('an array of bools holds other numbers')
    if dtype.kind == 'U' and np.frombuffer(content, '<u4').max() > 0x10FFFF:
        raise Damaged('an array of texts holds no texts')
    return np.frombuffer(content, dtype).copy().reshape(shape, order=order)
