"""mmcv's operators in mixed precision."""
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, wraps
from typing import Any, Callable, Optional

import torch
from torch import Tensor
from torch.autograd import Function

from mmkd.ops.precision import HALF, full_precision


def autocast(device: str,
             dtype: Optional[torch.dtype]) -> AbstractContextManager:
    """``torch.autocast``, in which mmcv's operators run on a CPU as well.

    Args:
        device (str): Type of the device.
        dtype (torch.dtype, optional): Type to compute in; None changes
            nothing.
    """
    if dtype is None:
        return nullcontext()
    if device == 'cpu':
        use_float32_operators()
    return torch.autocast(device, dtype)


@lru_cache(None)
def use_float32_operators() -> None:
    """Let mmcv's operators compute in float32 on a CPU.

    Of these, NMS and RoIAlign among them, none has a kernel for half
    precision there. A result has the type of the first input, as on a GPU.
    """
    try:
        import mmcv.ops  # noqa: F401
    except ImportError:  # mmcv-lite has none
        return
    for operator in Function.__subclasses__():
        if operator.__module__.startswith('mmcv.ops.'):
            for name in ('forward', 'backward'):
                passes = _in_float32(getattr(operator, name))
                setattr(operator, name, staticmethod(passes))


def _in_float32(function: Callable) -> Callable:
    """A pass of an operator that serves half precision on a CPU."""
    in_full = full_precision(function)

    @wraps(function)
    def wrapper(ctx: Any, *args: Any) -> Any:
        tensors = [x for x in args if isinstance(x, Tensor)]
        if not any(x.dtype in HALF and x.device.type == 'cpu'
                   for x in tensors):
            return function(ctx, *args)
        found = in_full(ctx, *args)
        dtype = tensors[0].dtype
        if isinstance(found, tuple):
            return tuple(_lowered(x, dtype) for x in found)
        return _lowered(found, dtype)

    return wrapper


def _lowered(value: Any, dtype: Any) -> Any:
    is_float = isinstance(value, Tensor) and value.is_floating_point()
    return value.to(dtype) if is_float else value
