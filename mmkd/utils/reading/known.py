"""The names that a pickle may use, and what is built for them."""
from collections import Counter, OrderedDict
from typing import Any, Callable, Dict, Tuple

import numpy as np

from . import arrays, tensors
from .arrays import Array, check_dtype_state, make_array
from .faults import Budget, Damaged, Forbidden, shown

__all__ = [
    'Array', 'Known', 'UNSET', 'check_key', 'find_known', 'give_state',
    'make_array'
]

#: Memory of an item of a set or dict, in bytes.
_ITEM = 100
#: Integers with different hashes: larger ones can be made to collide.
_MAX_KEY = 1 << 60
_STATISTICS = ('min', 'max', 'current', 'mean')

Builder = Callable[[Tuple[Any, ...], Budget], Any]


class Unset:
    """Stands where a value has no meaning; no data may hold it."""


UNSET = Unset()


class Known:
    """A name that a pickle may use.

    Args:
        name (str): With its module.
        build (Callable): Takes arguments and the budget.
        empty (bool): Whether it is a class of which objects are made without
            arguments. Defaults to False.
    """
    __slots__ = ('name', 'build', 'empty')

    def __init__(self, name: str, build: Builder, empty: bool = False) -> None:
        self.name, self.build, self.empty = name, build, empty


def check_key(key: Any, budget: Budget) -> None:
    """Check that a value may be in a set, or a key.

    A file could make others collide, so that each look-up takes as long as
    the dict is large.

    Raises:
        Damaged: If it may not.
    """
    kind = type(key)
    if kind is int or issubclass(kind, np.integer):
        if -_MAX_KEY < key < _MAX_KEY:
            return
    elif kind in (str, np.str_, bytes, float, bool, type(None)):
        # mmdet3d's index files of KITTI have names of numpy for keys.
        return
    elif kind is tuple and len(key) <= 8 and budget.tuple_keys > 0:
        budget.tuple_keys -= 1
        for part in key:
            if type(part) is tuple:
                break
            check_key(part, budget)
        else:
            return
    raise Damaged(f'it has {shown(key)} for a key or in a set')


def _no_call(args: Tuple[Any, ...], budget: Budget) -> Any:
    raise Damaged('it calls something that cannot be called')


def _pairs(args: Tuple[Any, ...], budget: Budget) -> Any:
    """Keys and values for a dict, checked."""
    if not args:
        return []
    source, = args
    if isinstance(source, dict):
        source = list(source.items())
    if type(source) not in (list, tuple):
        raise Damaged('one of its dicts is made of something else')
    budget.charge(_ITEM * len(source))
    for pair in source:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            raise Damaged('a dict of it is made of something else')
        check_key(pair[0], budget)
    return source


def _ordered_dict(args: Tuple[Any, ...], budget: Budget) -> OrderedDict:
    budget.charge(400)
    return OrderedDict(_pairs(args, budget))


def _counter(args: Tuple[Any, ...], budget: Budget) -> Counter:
    budget.charge(400)
    return Counter(dict(_pairs(args, budget)))


def _config_dict(args: Tuple[Any, ...], budget: Budget) -> dict:
    """A plain dict in its place, and no copy of it: where levels are shared,
    copies of each would multiply."""
    if not args:
        return {}
    content, = args
    if type(content) is not dict:
        raise Damaged('one of its dicts is made of something else')
    return content


def _set(args: Tuple[Any, ...], budget: Budget) -> set:
    items, = args or ([], )
    if type(items) not in (list, tuple):
        raise Damaged('one of its sets is made of something else')
    budget.charge(216 + _ITEM * len(items))
    for item in items:
        check_key(item, budget)
    return set(items)


def _frozenset(args: Tuple[Any, ...], budget: Budget) -> frozenset:
    return frozenset(_set(args, budget))


def _encode(args: Tuple[Any, ...], budget: Budget) -> bytes:
    """``_codecs.encode``: bytes, as protocol 2 writes them."""
    text, codec = args
    if type(text) is not str or codec not in ('latin1', 'latin-1'):
        raise Forbidden(f'encodes a text as {shown(codec)}, which no '
                        'checkpoint needs')
    budget.charge(33 + len(text))
    return text.encode('latin-1')


def _bytes(args: Tuple[Any, ...], budget: Budget) -> bytes:
    if args and (len(args) > 1 or type(args[0]) is not bytes):
        raise Damaged('some of its bytes are made of something else')
    return args[0] if args else b''


def _bytearray(args: Tuple[Any, ...], budget: Budget) -> bytearray:
    content = _encode(args, budget) if len(args) == 2 else _bytes(args, budget)
    budget.charge(57 + len(content))
    return bytearray(content)


def _complex(args: Tuple[Any, ...], budget: Budget) -> complex:
    if len(args) != 2 or not all(type(part) is float for part in args):
        raise Damaged('one of its complex numbers is damaged')
    return complex(*args)


def _history_buffer(args: Tuple[Any, ...], budget: Budget) -> Any:
    from mmengine.logging import HistoryBuffer
    if args:
        raise Damaged('one of its histories is damaged')
    budget.charge(600)
    return HistoryBuffer()


def _getattr(args: Tuple[Any, ...], budget: Budget) -> Unset:
    """mmengine's histories name their statistics by ``getattr``; they keep
    those that they have."""
    owner, name = args
    if type(owner) is Known and owner.build is _history_buffer and \
            name in _STATISTICS:
        return UNSET
    raise _more(f'attribute {shown(name)} of '
                f'{shown(getattr(owner, "name", owner))}')


_BUILDERS: Dict[str, Builder] = {
    'collections.OrderedDict': _ordered_dict,
    'collections.Counter': _counter,
    'builtins.set': _set,
    'builtins.frozenset': _frozenset,
    'builtins.bytes': _bytes,
    'builtins.bytearray': _bytearray,
    'builtins.complex': _complex,
    'builtins.getattr': _getattr,
    '_codecs.encode': _encode,
    'mmengine.logging.history_buffer.HistoryBuffer': _history_buffer,
    'mmengine.config.config.ConfigDict': _config_dict,
    'numpy.dtype': arrays.as_dtype,
    'numpy.ndarray': _no_call,
    'numpy.core.multiarray._reconstruct': arrays.reconstruct,
    'numpy.core.multiarray.scalar': arrays.as_scalar,
    'numpy.core.numeric._frombuffer': arrays.from_buffer,
    'torch.Size': tensors.as_size,
    'torch.device': tensors.as_device,
    'torch.Tensor': _no_call,
    'torch.nn.parameter.Parameter': _no_call,
    'torch._tensor._rebuild_from_type_v2': tensors.rebuild_with_state,
    'torch._utils._rebuild_tensor': tensors.rebuild_tensor,
    'torch._utils._rebuild_tensor_v2': tensors.rebuild_tensor_v2,
    'torch._utils._rebuild_tensor_v3': tensors.rebuild_tensor_v3,
    'torch._utils._rebuild_parameter': tensors.rebuild_parameter,
    'torch._utils._rebuild_parameter_with_state': tensors.rebuild_parameter,
}
_EMPTY = ('collections.OrderedDict', 'mmengine.config.config.ConfigDict',
          'mmengine.logging.history_buffer.HistoryBuffer')
_KNOWN: Dict[str, Any] = {
    **{
        name: Known(name, build, name in _EMPTY)
        for name, build in _BUILDERS.items()
    },
    # As protocol 4 names the statistics.
    **{
        f'mmengine.logging.history_buffer.HistoryBuffer.{name}': UNSET
        for name in _STATISTICS
    },
    **{
        f'torch.{name}': dtype
        for name, dtype in tensors.DTYPES.items()
    },
    **{
        f'{module}.{name}': tensors.StorageType(name)
        for name in tensors.STORAGE_DTYPES
        for module in ('torch', 'torch.cuda', 'torch.storage')
    },
}
#: What else torch writes, in words.
_TENSORS = {
    'qtensor': 'quantised tensors',
    'sparse_tensor': 'sparse tensors',
    'sparse_csr_tensor': 'sparse tensors',
    'nested_tensor': 'nested tensors',
    'meta_tensor_no_storage': 'tensors of the device `meta`, without content',
    'wrapper_subclass': 'tensors of classes of their own',
}


def find_known(module: str, name: str) -> Any:
    """What stands for a name in a file.

    Raises:
        Forbidden: If it may not be used.
    """
    module = {
        '__builtin__': 'builtins'
    }.get(module, module).replace('numpy._core', 'numpy.core')
    full = f'{module}.{name}'
    known = _KNOWN.get(full)
    if known is not None:
        return known
    kind = _TENSORS.get(name.replace('_rebuild_', '', 1))
    if module == 'torch._utils' and kind is not None:
        raise Forbidden(f'holds {kind}, which are not read; save them as '
                        'plain ones')
    if module == 'torch' and name.startswith('Q') and 'Storage' in name:
        raise Forbidden('holds quantised tensors, which are not read; save '
                        'them as plain ones')
    if full == 'torch.jit._pickle.restore_type_tag' or \
            module.startswith('__torch__'):
        raise Forbidden('holds a TorchScript model in place of weights')
    raise _more(shown(full))


def _more(name: str) -> Forbidden:
    return Forbidden(
        'holds more than weights and plain data, and was not loaded: it names '
        f'{name}. Save its `state_dict` alone where it was made; if you trust '
        'its source, say `trusted=True` for this file in the config')


def give_state(target: Any, state: Any, budget: Budget) -> None:
    """Set the attributes that a pickle gives to what it has built.

    Raises:
        Damaged: If that has none.
    """
    if type(target) is OrderedDict:
        metadata = state.get('_metadata') if type(state) is dict else None
        if not isinstance(metadata, dict) or len(state) != 1:
            raise Damaged('one of its dicts has unknown attributes')
        # By which modules know their weights of earlier versions.
        target._metadata = metadata
    elif isinstance(target, np.dtype):
        check_dtype_state(target, state)
    elif type(target).__name__ == 'HistoryBuffer':
        _fill_history(target, state)
    else:
        raise Damaged('it gives attributes to something that has none')


def _fill_history(history: Any, state: Any) -> None:
    if type(state) is not dict or not set(state) <= {
            'max_length', '_log_history', '_count_history',
            'statistics_methods', '_statistics_methods'
    }:
        raise Damaged('one of its histories is damaged')
    values, counts = state.get('_log_history'), state.get('_count_history')
    for part in (values, counts):
        if type(part) is not np.ndarray or part.ndim != 1 or \
                part.dtype.kind not in 'biuf' or part.shape != values.shape:
            raise Damaged('one of its histories is damaged')
    length = state.get('max_length')
    if type(length) is not int or not 0 < length < 1 << 40:
        raise Damaged('one of its histories is damaged')
    history.max_length = length
    history._log_history, history._count_history = values, counts
