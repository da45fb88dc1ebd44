"""Nested dicts, lists and tuples of tensors."""
from typing import Any

from torch import Tensor


def clone(value: Any) -> Any:
    """A copy whose tensors are clones; other values are shared."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(clone(item) for item in value)
    return value
