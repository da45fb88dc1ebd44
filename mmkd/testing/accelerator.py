"""A pretended accelerator, for tests of devices on a machine without one.

Tensors on it say that they live on another device but keep their values on the
CPU. It counts what a real one would refuse, and what would make the host wait.
"""
import importlib
import os
import traceback
from collections import Counter
from contextlib import ExitStack
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import (TorchDispatchMode,
                                          _disable_current_modes)
from torch.utils._pytree import tree_leaves, tree_map

#: The device. Torch has no kernels of its own for it, so that nothing runs
#: there by accident.
DEVICE = torch.device('meta')

#: Operators whose result has a shape that depends on values.
_DYNAMIC = ('nonzero', 'masked_select', 'unique_dim', '_unique2',
            'unique_consecutive', 'repeat_interleave', 'equal', 'is_nonzero',
            'bincount', 'histc')
#: It reads an error code from the device, for ``linalg.inv`` and others.
_CHECK = '_linalg_check_errors'
_INDEXING = ('index', 'index_put', 'index_put_')
#: Operators that take tensors of two devices.
_CROSSING = ('_to_copy', 'copy_', 'set_', '_has_compatible_shallow_copy_type')
#: Operators of mmcv whose settings are tensors on the host.
_HOST_SETTINGS = ('hard_voxelize_forward', 'dynamic_voxelize_forward')
#: Functions of torch that autocast runs in its lower precision.
_LOWERED = (torch.conv1d, torch.conv2d, torch.conv3d, F.linear, torch.matmul,
            torch.mm, torch.bmm, torch.addmm, torch.baddbmm,
            torch.conv_transpose2d, Tensor.matmul, Tensor.__matmul__)
#: The package, and the part of it that is no code under test.
_PACKAGE = os.path.dirname(os.path.dirname(__file__))
_TESTING = 'mmkd/testing/'
_CUDA_TYPES = dict(
    FloatTensor=torch.float32, IntTensor=torch.int32, LongTensor=torch.int64)


class DeviceTensor(Tensor):
    """A tensor on :data:`DEVICE`.

    Attributes:
        host (Tensor): Its values, on the CPU.
    """
    __slots__ = ['host']
    is_cuda = True

    @staticmethod
    def __new__(cls, host: Tensor) -> 'DeviceTensor':
        made = Tensor._make_wrapper_subclass(
            cls,
            host.size(),
            strides=host.stride(),
            storage_offset=host.storage_offset(),
            dtype=host.dtype,
            layout=host.layout,
            device=DEVICE)
        made.host = host
        return made

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        # Torch's autocast leaves tensors of this device as they are.
        if torch.is_autocast_enabled('cpu') and func in _LOWERED:
            args = tree_map(_lowered, args)
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, None)

    def __repr__(self) -> str:
        return f'DeviceTensor({self.host!r})'

    # Torch reads lists of indices and of numbers without its dispatcher.

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(_indices(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_indices(index), value)

    def new_tensor(self, data: Any, dtype=None, device=None, **kwargs):
        return torch.tensor(
            data, dtype=dtype or self.dtype, device=device or DEVICE, **kwargs)

    def tolist(self) -> list:
        _wait('tolist')
        return self.host.tolist()

    def numpy(self, **kwargs: Any):
        _refuse('numpy')
        return self.host.detach().numpy()

    def __array__(self, dtype=None):
        return self.numpy().astype(dtype or self.host.numpy().dtype)

    def get_device(self) -> int:
        return 0


class _MaskType(type):

    def __instancecheck__(cls, x: Any) -> bool:
        return isinstance(x, DeviceTensor) and x.dtype == torch.bool


class _DeviceMask(metaclass=_MaskType):
    """The type of masks on the device, for ``isinstance``."""


class PretendedAccelerator(TorchDispatchMode):
    """Context in which the pretended accelerator is there.

    mmengine picks :data:`DEVICE` for its models. Results equal those on the
    CPU. Operators that are compiled outside of torch's dispatcher are mmcv's;
    they run on the CPU's code as well.

    Args:
        kernels (dict[str, Callable]): Functions of ``mmcv._ext`` for this
            device, by name, for those that have no code for CPUs. They get
            the values of the tensors. Defaults to None.

    Attributes:
        refused (Counter): What a real accelerator would refuse, as pairs of
            an operation and the lines of code that called it.
        waits (Counter): What made the host wait for the device, likewise.
        sent (Counter): Copies to the device with ``non_blocking``, for which
            the host does not wait, likewise.

    Examples:
        >>> with PretendedAccelerator() as accelerator:
        ...     model.to(DEVICE)
        ...     model.train_step(batch, optim_wrapper)
        >>> assert not accelerator.refused
    """
    #: The one that is active.
    current: Optional['PretendedAccelerator'] = None

    def __init__(self, kernels: Optional[Dict[str, Callable]] = None) -> None:
        super().__init__()
        self.kernels = kernels or {}
        self.refused: Counter = Counter()
        self.waits: Counter = Counter()
        self.sent: Counter = Counter()
        self._patches = ExitStack()

    def own(self, found: Counter) -> Dict[Tuple[str, str], int]:
        """Those of ``refused``, ``waits`` or ``sent`` that a line of mmkd
        caused, not one of a library that it called."""
        return {
            key: count
            for key, count in found.items()
            if key[1].startswith('mmkd/') and not key[1].startswith(_TESTING)
        }

    def __enter__(self) -> 'PretendedAccelerator':
        with ExitStack() as stack:
            for target, name, value in _replacements(self.kernels):
                stack.enter_context(mock.patch.object(target, name, value))
            stack.enter_context(
                mock.patch.object(PretendedAccelerator, 'current', self))
            # Weights of modules become new parameters, since the data of a
            # plain tensor cannot become those of another class.
            future = torch.__future__
            stack.callback(future.set_overwrite_module_params_on_conversion,
                           future.get_overwrite_module_params_on_conversion())
            future.set_overwrite_module_params_on_conversion(True)
            self._patches = stack.pop_all()
        super().__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        self._patches.close()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {}, self)


def values(data: Any) -> Any:
    """Nested data with the values of device tensors, as plain tensors."""
    return tree_map(_values, data)


def _values(x: Any) -> Any:
    if isinstance(x, DeviceTensor):
        return x.host
    if isinstance(x, Tensor) and x.device == DEVICE and x.numel():
        raise RuntimeError(f'a tensor without values at {_caller()}')
    return x


def _lowered(x: Any) -> Any:
    if isinstance(x, DeviceTensor) and x.is_floating_point():
        return x.to(torch.get_autocast_dtype('cpu'))
    return x


def _caller() -> str:
    """The three innermost lines outside of torch and of this file."""
    frames = [
        frame for frame in traceback.extract_stack()
        if '/torch/' not in frame.filename and frame.filename != __file__
    ]
    return ' < '.join(f'{_short(frame.filename)}:{frame.lineno}'
                      for frame in frames[:-4:-1])


def _short(filename: str) -> str:
    """The path from the package on, or its last three parts."""
    if filename.startswith(f'{_PACKAGE}{os.sep}'):
        return os.path.relpath(filename, os.path.dirname(_PACKAGE))
    return '/'.join(filename.split('/')[-3:])


def _wait(what: str) -> None:
    if PretendedAccelerator.current:
        PretendedAccelerator.current.waits[what, _caller()] += 1


def _send(what: str, non_blocking: bool) -> None:
    if not non_blocking:
        _wait(what)
    elif PretendedAccelerator.current:
        PretendedAccelerator.current.sent[what, _caller()] += 1


def _refuse(what: str) -> None:
    if PretendedAccelerator.current:
        PretendedAccelerator.current.refused[what, _caller()] += 1


def _indices(index: Any) -> Any:
    if isinstance(index, list) and any(isinstance(x, Tensor) for x in index):
        return tuple(index)
    if isinstance(index, list):
        return torch.tensor(index, dtype=None if index else torch.long)
    if isinstance(index, tuple):
        return tuple(_indices(part) for part in index)
    return index


def _run(func: Any, args: tuple, kwargs: dict,
         accelerator: Optional[PretendedAccelerator]) -> Any:
    """Run an operator on the values of its arguments."""
    name = func._schema.name.split('::')[-1]
    target = kwargs.get('device')
    if target is not None:
        target = torch.device(target)
        kwargs = dict(kwargs, device=torch.device('cpu'))
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    on = [x for x in tensors if isinstance(x, DeviceTensor)]
    if accelerator is not None:
        _judge(
            name, args, on,
            [x for x in tensors if not isinstance(x, DeviceTensor)], target,
            kwargs.get('non_blocking') or name == 'copy_' and True in args[2:])
    result = func(*values(args), **values(kwargs))
    stays = bool(on) if target is None else target == DEVICE
    if name == 'copy_':
        stays = isinstance(args[0], DeviceTensor)
    if not stays or name == '_local_scalar_dense':
        return result
    # An operator in place returns the tensor that it was given.
    known = {id(x.host): x for x in on}

    def wrapped(x: Any) -> Any:
        if id(x) in known:
            return known[id(x)]
        return DeviceTensor(x) if type(x) is Tensor else x

    return tree_map(wrapped, result)


def _judge(name: str, args: tuple, on: List[Tensor], host: List[Tensor],
           target: Optional[torch.device], non_blocking: bool) -> None:
    """Count what a real accelerator would do with an operator."""
    if not on:
        if name == '_to_copy' and host and target == DEVICE:
            _send('copy to device', non_blocking)
        return
    if name == '_local_scalar_dense':
        _wait('item')
    elif name == _CHECK or name.rstrip('_') in _DYNAMIC:
        _wait(name)
    elif name in _INDEXING and any(
            isinstance(x, Tensor) and x.dtype in (torch.bool, torch.uint8)
            for x in args[1] or ()):
        _wait(f'{name} by mask')
    elif name == '_to_copy' and target is not None and target.type == 'cpu':
        _wait('copy to host')
    elif name == 'copy_' and host:
        _send('copy_ across', non_blocking
              and isinstance(args[0], DeviceTensor))
    elif name in _INDEXING and isinstance(
            args[0], DeviceTensor) and not any(x.is_floating_point()
                                               for x in host):
        if host:
            _wait(f'{name} with indices on the host')
    elif name not in _CROSSING and any(x.dim() > 0 for x in host):
        _refuse(f'{name} of two devices')


def _replacements(
        kernels: Dict[str, Callable]) -> Iterator[Tuple[Any, str, Any]]:
    """Ways to a device that torch's dispatcher does not see."""
    import mmengine.device.utils
    from mmengine.structures import instance_data
    yield mmengine.device.utils, 'DEVICE', DEVICE.type
    # What may be an index there; each type of a tensor is of one device.
    yield instance_data, 'IndexType', Union[instance_data.IndexType, Tensor]
    yield instance_data, 'BoolTypeTensor', Union[torch.BoolTensor, _DeviceMask]
    for name in ('tensor', 'as_tensor'):
        yield torch, name, _making(getattr(torch, name))
    autocast = torch.autocast.__init__

    def init(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        autocast(self, 'cpu' if device_type == DEVICE.type else device_type,
                 *args, **kwargs)

    yield torch.autocast, '__init__', init
    for name in ('is_autocast_enabled', 'get_autocast_dtype'):
        yield torch, name, _for_cpu(getattr(torch, name))
    yield Tensor, 'cuda', lambda x, *args, **kwargs: x.to(DEVICE)
    yield torch.cuda, 'current_device', lambda: 0
    for name, dtype in _CUDA_TYPES.items():
        yield torch.cuda, name, _empty(dtype)
    extension = importlib.import_module('mmcv._ext')
    for name, function in list(vars(extension).items()):
        if callable(function) and not name.startswith('_'):
            yield extension, name, _compiled(name, function, kernels.get(name))


def _for_cpu(function: Callable) -> Callable:
    """A function of the type of a device, which does not know this one."""
    return lambda *types: function(*('cpu' if x == DEVICE.type else x
                                     for x in types))


def _empty(dtype: torch.dtype) -> Callable:
    return lambda *size: torch.zeros(*size, dtype=dtype, device=DEVICE)


def _making(make: Callable) -> Callable:
    """``torch.tensor`` of nested lists, which may hold device tensors."""

    def wrapped(data: Any, *args: Any, device: Any = None, **kwargs: Any):
        if isinstance(data, (list, tuple)):
            data = tree_map(
                lambda x: x.item() if isinstance(x, DeviceTensor) else x, data)
        if device is not None and torch.device(device) == DEVICE:
            return make(data, *args, **kwargs).to(DEVICE)
        return make(data, *args, **{'device': device, **kwargs})

    return wrapped


def _compiled(name: str, function: Callable,
              kernel: Optional[Callable]) -> Callable:
    """An operator that was compiled outside of torch's dispatcher."""

    def call(*args: Any, **kwargs: Any) -> Any:
        tensors = [
            x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)
        ]
        host = [x for x in tensors if not isinstance(x, DeviceTensor)]
        on = len(host) < len(tensors)
        if on and name not in _HOST_SETTINGS and any(x.dim() for x in host):
            _refuse(f'mmcv {name} of two devices')
        with _disable_current_modes():
            result = (kernel if on and kernel else function)(*values(args),
                                                             **values(kwargs))
        return tree_map(
            lambda x: DeviceTensor(x)
            if on and isinstance(x, Tensor) else x, result)

    return call
