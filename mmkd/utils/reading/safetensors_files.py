"""Files of safetensors: JSON with names, types and places, then bytes.

See https://github.com/huggingface/safetensors for the format.
"""
import json
import struct
from math import prod
from typing import IO, Any, Dict, List, Tuple

import torch
from torch import Tensor

from .faults import Budget, Damaged, Forbidden, shown
from .tensors import DTYPES

_DTYPES = dict(
    F64='float64',
    F32='float32',
    F16='float16',
    BF16='bfloat16',
    F8_E4M3='float8_e4m3fn',
    F8_E5M2='float8_e5m2',
    F8_E8M0='float8_e8m0fnu',
    I64='int64',
    I32='int32',
    I16='int16',
    I8='int8',
    U64='uint64',
    U32='uint32',
    U16='uint16',
    U8='uint8',
    BOOL='bool',
    C64='complex64')
_MAX_DIMS = 64
_LARGE = 1 << 48
#: Memory that a byte of JSON can take.
_JSON_COST = 50


def read_safetensors(file: IO[bytes], budget: Budget) \
        -> Tuple[Dict[str, Tensor], Dict[str, str]]:
    """Read a file of safetensors.

    The tensors are copied out of the file, which may be replaced or cut
    short while they are used.

    Args:
        file (IO[bytes]): The file.
        budget (Budget): Knows its size, and pays for all that is read.

    Returns:
        tuple[dict[str, Tensor], dict[str, str]]: Tensors, and texts.

    Raises:
        Damaged: If it is damaged, or contradicts itself.
    """
    size = budget.size
    file.seek(0)
    start = file.read(8)
    if len(start) < 8:
        raise Damaged('it ends within its header')
    length, = struct.unpack('<Q', start)
    if length > size - 8:
        raise Damaged(f'its header claims to be of {length} bytes')
    budget.charge(_JSON_COST * length)
    head = _parse(file.read(length))
    texts = head.pop('__metadata__', None)
    if texts is None:
        texts = {}
    if type(texts) is not dict or not all(
            type(text) is str for text in texts.values()):
        raise Damaged('its metadata is not text')
    plan = _plan(head, size - 8 - length)
    tensors = {}
    for name, dtype, shape, begin, end in plan:
        budget.charge(512 + end - begin)
        memory = torch.empty(end - begin, dtype=torch.uint8)
        _fill(file, memoryview(memory.numpy()))
        if dtype is torch.bool and memory.numel() and memory.max() > 1:
            raise Damaged(f'the bools of {shown(name)} are other numbers')
        tensors[name] = memory.view(dtype).view(shape)
    # In the order of the head, which writers sort in their own way.
    return {name: tensors[name] for name in head}, texts


def _parse(content: bytes) -> Dict[str, Any]:
    """The head, without what JSON leaves open."""

    def unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        for pair in pairs:
            for text in pair:
                if type(text) is str:
                    text.encode('utf-8')  # raises for half a character
        found = dict(pairs)
        if len(found) < len(pairs):
            raise Damaged('its header has a name twice')
        return found

    def number(text: str) -> Any:
        raise ValueError(f'the number {shown(text)}')

    try:
        head = json.loads(
            content.decode('utf-8'),
            object_pairs_hook=unique,
            parse_float=number,
            parse_constant=number)
    except RecursionError:
        raise Damaged('its header has too many levels') from None
    except ValueError as error:
        raise Damaged(
            f'its header is not JSON ({shown(str(error))})') from None
    if type(head) is not dict:
        raise Damaged('its header is not a dict')
    return head


def _plan(head: Dict[str, Any], size: int) -> List[tuple]:
    """Name, dtype, shape, begin and end of each tensor in the order of the
    file, which they fill without gaps."""
    plan = []
    for name, entry in head.items():
        where = f'the entry {shown(name)} of its header '
        if type(entry) is not dict or set(entry) != {
                'dtype', 'shape', 'data_offsets'
        }:
            raise Damaged(f'{where}is damaged')
        code, shape, offsets = (entry['dtype'], entry['shape'],
                                entry['data_offsets'])
        if type(code) is not str or DTYPES.get(_DTYPES.get(code, '')) is None:
            raise Forbidden(f'holds the tensor {shown(name)} of the type '
                            f'`{shown(code)}`, which is not read')
        for numbers in (shape, offsets):
            if type(numbers) is not list or len(numbers) > _MAX_DIMS or \
                    not all(type(x) is int and 0 <= x < _LARGE
                            for x in numbers):
                raise Damaged(f'{where}has no proper size')
        dtype = DTYPES[_DTYPES[code]]
        if len(offsets) != 2 or prod(max(x, 1) for x in shape) >= _LARGE or \
                offsets[1] - offsets[0] != prod(shape) * dtype.itemsize:
            raise Damaged(f'{where}has another size than its shape')
        plan.append((name, dtype, shape, *offsets))
    plan.sort(key=lambda item: item[3:])
    place = 0
    for name, _, _, begin, end in plan:
        if begin != place:
            raise Damaged(f'the tensor {shown(name)} does not follow the one '
                          'before it')
        place = end
    if place != size:
        raise Damaged(f'its tensors claim {place} bytes of {size}')
    return plan


def _fill(file: IO[bytes], memory: memoryview) -> None:
    place = 0
    while place < len(memory):
        count = file.readinto(memory[place:])
        if not count:
            raise Damaged('it became shorter while it was read')
        place += count
