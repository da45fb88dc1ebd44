"""Losses in full precision, regardless of autocast."""
import functools
from typing import Any, Callable, Iterator

import torch
from torch import Tensor

HALF = (torch.float16, torch.bfloat16)


def upcast(value: Any) -> Any:
    """Convert half-precision tensors to float32; return others unchanged."""
    if isinstance(value, Tensor) and value.dtype in HALF:
        return value.float()
    if isinstance(value, (list, tuple)) and any(
            isinstance(item, Tensor) for item in value):
        return type(value)(upcast(item) for item in value)
    if isinstance(value, dict):
        return {key: upcast(item) for key, item in value.items()}
    return value


def _devices(values: Any) -> Iterator[str]:
    """Devices of the tensors of nested lists, tuples and dicts."""
    for value in values:
        if isinstance(value, Tensor):
            yield value.device.type
        elif isinstance(value, (list, tuple)):
            yield from _devices(value)
        elif isinstance(value, dict):
            yield from _devices(value.values())


def full_precision(loss: Callable) -> Callable:
    """Make a loss compute in float32 with autocast off.

    Tensors in float16 or bfloat16, also in lists, tuples and dicts, are cast
    to float32 before the call; gradients flow back in the original type.
    Without this, sums of exponentials overflow under mixed precision. Tensors
    in float64 are not cast, for numerical gradient checks.

    Args:
        loss (Callable): A function of tensors.

    Returns:
        Callable: The same function in full precision.
    """

    @functools.wraps(loss)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        given = [upcast(value) for value in args]
        named = {name: upcast(value) for name, value in kwargs.items()}
        device = next(_devices([*given, *named.values()]), 'cpu')
        with torch.autocast(device_type=device, enabled=False):
            return loss(*given, **named)

    return wrapper
