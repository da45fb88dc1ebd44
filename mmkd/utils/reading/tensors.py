"""Tensors, each of which is checked to lie inside its storage."""
from math import prod
from typing import Any, Dict, Tuple

import torch
from torch import Tensor, nn

from .faults import Budget, Damaged, Forbidden, shown

#: What a storage may hold, by the name of its type.
STORAGE_DTYPES = dict(
    DoubleStorage=torch.float64,
    FloatStorage=torch.float32,
    HalfStorage=torch.float16,
    BFloat16Storage=torch.bfloat16,
    LongStorage=torch.int64,
    IntStorage=torch.int32,
    ShortStorage=torch.int16,
    CharStorage=torch.int8,
    ByteStorage=torch.uint8,
    BoolStorage=torch.bool,
    ComplexDoubleStorage=torch.complex128,
    ComplexFloatStorage=torch.complex64,
    UntypedStorage=torch.uint8)
#: The plain ones of torch; those that this version of it lacks are left out.
DTYPES = {
    name: getattr(torch, name)
    for name in ('float64', 'float32', 'float16', 'bfloat16', 'float8_e4m3fn',
                 'float8_e5m2', 'float8_e4m3fnuz', 'float8_e5m2fnuz',
                 'float8_e8m0fnu', 'int64', 'int32', 'int16', 'int8', 'uint64',
                 'uint32', 'uint16', 'uint8', 'bool', 'complex128',
                 'complex64', 'complex32') if hasattr(torch, name)
}
_PLAIN = frozenset(DTYPES.values())
#: No size, stride or offset is larger, so that sums of them fit 64 bits.
_LARGE = 1 << 48
_MAX_DIMS = 64


class StorageType:
    """What a file calls a kind of storage.

    Args:
        name (str): Of torch, such as ``FloatStorage``.
    """
    __slots__ = ('untyped', 'dtype')

    def __init__(self, name: str) -> None:
        self.untyped = name == 'UntypedStorage'
        self.dtype = STORAGE_DTYPES[name]


class Storage:
    """Memory that tensors share.

    Args:
        kind (StorageType): What it holds.
        numel (int): How many of them.
        budget (Budget): Pays for it.
    """
    __slots__ = ('kind', 'numel', 'size', 'bytes', 'has_bool')

    def __init__(self, kind: StorageType, numel: int, budget: Budget) -> None:
        self.kind, self.numel = kind, numel
        self.size = numel * kind.dtype.itemsize
        if self.size > budget.size:
            raise Damaged(f'it claims to hold {shown(self.size)} bytes in one '
                          'piece')
        budget.charge(self.size)
        self.bytes = torch.empty(self.size, dtype=torch.uint8)
        self.has_bool = False

    @property
    def memory(self) -> memoryview:
        """Its bytes, to be filled."""
        return memoryview(self.bytes.numpy())

    def check(self) -> None:
        """Check what is not any number, once it is filled.

        torch counts on bytes of bools to be 0 or 1.
        """
        if self.has_bool and self.size and self.bytes.max() > 1:
            raise Damaged('a tensor of bools holds other numbers')


def parse_storage_id(parts: Any) -> Tuple[StorageType, str, int]:
    """Take a persistent id apart.

    Returns:
        tuple[StorageType, str, int]: What the storage holds, its key in the
        file, and its number of elements. Its device is left out: everything
        goes to the CPU.
    """
    if type(parts) is not tuple or len(parts) not in (5, 6) or \
            parts[0] != 'storage':
        if type(parts) is tuple and parts[:1] == ('module', ):
            raise Forbidden('holds a whole model (the code of its classes) in '
                            'place of weights')
        raise Damaged('one of its storages has no proper id')
    _, kind, key, device, numel = parts[:5]
    if type(kind) is not StorageType or type(key) is not str or \
            type(device) is not str or not _is_size(numel):
        raise Damaged('one of its storages has no proper id')
    if parts[5:] not in ((), (None, )):
        raise Forbidden('holds views of storages as torch before 0.4 wrote '
                        'them; load and save it with torch 0.4 to 1.13')
    return kind, key, numel


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LARGE


def build_tensor(storage: Any, dtype: torch.dtype, offset: Any, size: Any,
                 stride: Any, budget: Budget) -> Tensor:
    """A view of a storage.

    Args:
        storage (Storage): Where its elements lie.
        dtype (torch.dtype): What they are.
        offset (int): Elements in front of the first one.
        size (tuple[int]): Its shape.
        stride (tuple[int]): Elements from one to the next, in each
            dimension; 0 repeats them.
        budget (Budget): Limits how often they may be repeated.

    Raises:
        Damaged: If it does not lie inside its storage, or repeats more than
            a file of that size may.
    """
    # Not any sequence: a small tensor may iterate over millions of others.
    if not all(
            type(numbers) in (tuple, list, torch.Size)
            for numbers in (size, stride)):
        raise Damaged('one of its tensors has no proper size')
    size, stride = tuple(size), tuple(stride)
    if type(storage) is not Storage or dtype not in _PLAIN:
        raise Damaged('one of its tensors has no storage')
    if len(size) != len(stride) or len(size) > _MAX_DIMS or not all(
            map(_is_size, (offset, *size, *stride))) or prod(
                max(length, 1) for length in size) >= _LARGE:
        raise Damaged(f'one of its tensors has the size {_numbers(size)}, the '
                      f'strides {_numbers(stride)} and the offset '
                      f'{shown(offset)}')
    width = dtype.itemsize
    numel = prod(size)
    last = offset + sum((length - 1) * step
                        for length, step in zip(size, stride)) if numel else -1
    if (max(last + 1, offset)) * width > storage.size:
        raise Damaged(f'one of its tensors, {_numbers(size)} with the strides '
                      f'{_numbers(stride)} from {offset} on, reaches beyond '
                      f'its storage of {storage.size} bytes')
    if numel * width > max(budget.size, 1 << 20):
        raise Damaged(f'it claims to hold {numel * width} bytes in one piece')
    budget.views -= numel * width
    if budget.views < 0:
        raise Damaged('its tensors repeat their storages too often')
    budget.charge(512)  # of what belongs to a tensor
    if dtype is torch.bool:
        storage.has_bool = True
    return torch.empty(
        0, dtype=dtype).set_(storage.bytes.untyped_storage(), offset, size,
                             stride)


def _numbers(values: Tuple[Any, ...]) -> str:
    return '(' + ', '.join(map(
        shown, values[:6])) + (', ...)' if len(values) > 6 else ')')


def _with_grad(tensor: Tensor, requires_grad: Any, hooks: Any) -> Tensor:
    if hooks is not None and not (isinstance(hooks, dict) and not hooks):
        raise Forbidden('holds a tensor with hooks, which are code')
    if type(requires_grad) not in (bool, int):
        raise Damaged('one of its tensors is damaged')
    if requires_grad:
        if not (tensor.is_floating_point() or tensor.is_complex()):
            raise Damaged('some of its integers ask for gradients')
        tensor.requires_grad_()
    return tensor


def rebuild_tensor(args: Tuple[Any, ...], budget: Budget) -> Tensor:
    """``torch._utils._rebuild_tensor``: storage, offset, size, stride."""
    storage, offset, size, stride = args
    return build_tensor(storage, _typed(storage), offset, size, stride, budget)


def rebuild_tensor_v2(args: Tuple[Any, ...], budget: Budget) -> Tensor:
    """``_rebuild_tensor_v2``: and ``requires_grad``, hooks, metadata."""
    storage, offset, size, stride, requires_grad, hooks, *metadata = args
    tensor = build_tensor(storage, _typed(storage), offset, size, stride,
                          budget)
    return _with_grad(_flagged(tensor, metadata), requires_grad, hooks)


def rebuild_tensor_v3(args: Tuple[Any, ...], budget: Budget) -> Tensor:
    """``_rebuild_tensor_v3``: and the dtype, for an untyped storage."""
    (storage, offset, size, stride, requires_grad, hooks, dtype,
     *metadata) = args
    if type(storage) is not Storage or not storage.kind.untyped or \
            type(dtype) is not torch.dtype:
        raise Damaged('one of its tensors has no storage')
    tensor = build_tensor(storage, dtype, offset, size, stride, budget)
    return _with_grad(_flagged(tensor, metadata), requires_grad, hooks)


def _typed(storage: Any) -> torch.dtype:
    if type(storage) is not Storage:
        raise Damaged('one of its tensors has no storage')
    return storage.kind.dtype


def _flagged(tensor: Tensor, metadata: list) -> Tensor:
    """Views that are conjugate or negative."""
    if len(metadata) > 1:
        raise Damaged('one of its tensors is damaged')
    flags: Dict[Any, Any] = {}
    if metadata and metadata[0] is not None:
        flags = metadata[0]
    # torch writes flags only where they are set, and does not look at values.
    if type(flags) is not dict or not set(flags) <= {'conj', 'neg'} or \
            not all(flag is True for flag in flags.values()):
        raise Forbidden('holds a tensor of an unusual kind')
    if flags.get('conj'):
        if not tensor.is_complex():
            raise Damaged('one of its tensors is real and conjugate')
        tensor = tensor.conj()
    return torch._neg_view(tensor) if flags.get('neg') else tensor


def rebuild_parameter(args: Tuple[Any, ...], budget: Budget) -> Tensor:
    """``_rebuild_parameter`` and ``_rebuild_parameter_with_state``: a
    tensor, ``requires_grad``, hooks; attributes are left out."""
    tensor, requires_grad, hooks, *state = args
    if not isinstance(tensor, Tensor) or len(state) > 1:
        raise Damaged('one of its parameters is not a tensor')
    tensor = _with_grad(tensor.detach(), requires_grad, hooks)
    return nn.Parameter(tensor.detach(), bool(requires_grad))


def rebuild_with_state(args: Tuple[Any, ...], budget: Budget) -> Tensor:
    """``_rebuild_from_type_v2``: a tensor with attributes, left out here."""
    known, kind, inner, _ = args
    if isinstance(kind, Tensor) or getattr(
            kind, 'name',
            '') not in ('torch.Tensor', 'torch.nn.parameter.Parameter'):
        raise Forbidden('holds a tensor of a class of its own')
    if isinstance(known, Tensor) or type(inner) is not tuple or getattr(
            known, 'name', '').rpartition('.')[0] != 'torch._utils':
        raise Damaged('one of its tensors is damaged')
    return known.build(inner, budget)


def as_size(args: Tuple[Any, ...], budget: Budget) -> torch.Size:
    """``torch.Size``."""
    sizes, = args
    if type(sizes) is not tuple or len(sizes) > _MAX_DIMS or not all(
            map(_is_size, sizes)):
        raise Damaged('one of its sizes is damaged')
    return torch.Size(sizes)


def as_device(args: Tuple[Any, ...], budget: Budget) -> torch.device:
    """``torch.device``, which stays what it was."""
    try:
        if type(args[0]) is str and len(args[0]) < 40 and all(
                type(x) is int and 0 <= x < 128 for x in args[1:]):
            return torch.device(*args)
    except RuntimeError:
        pass
    raise Damaged('one of its devices is damaged')
