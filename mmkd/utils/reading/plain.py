"""A last look at what was read: is it plain data, and of a decent shape?"""
from collections import Counter, OrderedDict
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np
import torch
from torch import nn

from .faults import Budget, Damaged

#: Levels of dicts and lists in each other; the code that uses them recurses.
MAX_DEPTH = 100
_SCALARS = {
    np.dtype(kind).type
    for kind in ('b1', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2',
                 'f4', 'f8', 'c8', 'c16', 'S1', 'U1')
}
_LEAVES = {
    str, bytes, bytearray, int, float, complex, bool,
    type(None), torch.Tensor, nn.Parameter, torch.Size, torch.dtype,
    torch.device, np.ndarray, *_SCALARS
}
_LISTS = {list, tuple, set, frozenset}


def check_plain(content: Any, budget: Budget) -> None:
    """Check that nothing but plain data was read.

    Levels are limited, and so is the size with all that is shared counted
    each time: code that walks through it must neither recurse without end
    nor take exponential time.

    Args:
        content (Any): What a pickle has built.
        budget (Budget): Pays for the memory of this look.

    Raises:
        Damaged: If there is anything else in it.
    """
    largest = max(1 << 20, 8 * budget.size)
    # Levels and sizes of what was looked at, by id.
    done: Dict[int, Tuple[int, int]] = {}
    # Its own: what is being looked at, its depth and size so far.
    stack: List[list] = [[iter((content, )), 0, 0, 1]]
    path = set()
    while True:
        frame = stack[-1]
        for child in frame[0]:
            kind = type(child)
            if kind in _LEAVES:
                frame[3] += 1
                continue
            key = id(child)
            if key in done:
                depth, size = done[key]
                frame[2] = max(frame[2], depth)
                frame[3] += size
                continue
            if key in path:
                raise Damaged('it holds a dict or list that holds itself')
            if len(stack) > MAX_DEPTH:
                raise Damaged(f'it has more than {MAX_DEPTH} levels')
            children = _children(kind, child)
            if children is None:
                frame[3] += 1
                continue
            budget.charge(200)
            path.add(key)
            stack.append([children, key, 0, 1])
            break
        else:
            _, key, depth, size = stack.pop()
            if len(stack) + depth > MAX_DEPTH:
                raise Damaged(f'it has more than {MAX_DEPTH} levels')
            if size > largest:
                raise Damaged('it repeats its dicts and lists too often')
            if not stack:
                return
            path.discard(key)
            done[key] = depth + 1, size
            stack[-1][2] = max(stack[-1][2], depth + 1)
            stack[-1][3] += size


def _children(kind: type, value: Any) -> Any:
    """What a container holds; None for what holds nothing."""
    if kind is dict or kind is Counter:
        return iter(value.values())
    if kind is OrderedDict:
        metadata = getattr(value, '_metadata', None)
        return _chain(value, metadata)
    if kind in _LISTS:
        return iter(value)
    if kind.__name__ == 'HistoryBuffer':
        return None
    raise Damaged('it holds a name that stands for no value')


def _chain(value: OrderedDict, metadata: Any) -> Iterator[Any]:
    yield from value.values()
    yield metadata
