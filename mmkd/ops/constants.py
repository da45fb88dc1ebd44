"""Constants on a device."""
import functools
from typing import Sequence, Tuple, Union

import torch
from torch import Tensor


def constant(values: Union[float, Sequence[float]], like: Tensor) -> Tensor:
    """A tensor of constants with the type and device of another one.

    It is copied to the device once, since a copy in every step would make the
    host wait. Do not modify it in place.

    Args:
        values (float | Sequence[float]): One constant, or n of them.
        like (Tensor): The other tensor.

    Returns:
        Tensor: (n, ), or a scalar for a number.
    """
    if not isinstance(values, (int, float)):
        values = tuple(map(float, values))
    return _constant(values, like.dtype, like.device)


@functools.lru_cache(maxsize=256)
def _constant(values: Union[float, Tuple[float, ...]], dtype: torch.dtype,
              device: torch.device) -> Tensor:
    # A backward pass may need it later.
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)
