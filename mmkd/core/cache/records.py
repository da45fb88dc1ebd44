"""Tensors as they are stored: in int8 with scales, float16 or float32."""
import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

#: Types to store values in, by their name in configs.
STORED = dict(int8=torch.int8, fp16=torch.float16, fp32=torch.float32)


class Layout(NamedTuple):
    """How the bytes of a tensor are laid out.

    Attributes:
        shape (tuple[int]): Its shape, (1, C, H, W) for a map.
        stored (torch.dtype): Type of the stored values, one of
            :data:`STORED`.
        dtype (torch.dtype): Type of the tensor.
    """
    shape: Tuple[int, ...]
    stored: torch.dtype
    dtype: torch.dtype

    @property
    def scale_shape(self) -> Optional[Tuple[int, ...]]:
        """Shape of the scales of int8 values, None for other types.

        Tensors (1, C, ...) have one for each channel, tokens (1, L, C) too.
        """
        if self.stored != torch.int8:
            return None
        if len(self.shape) == 3:
            return (1, 1, self.shape[2])
        if len(self.shape) < 3:
            return (1, ) * len(self.shape)
        return (1, self.shape[1], *([1] * (len(self.shape) - 2)))

    @property
    def sizes(self) -> Tuple[int, int]:
        """Number of bytes of the scales and of the values."""
        scales = math.prod(self.scale_shape) * 4 if self.scale_shape else 0
        return scales, math.prod(self.shape) * self.stored.itemsize


class Stored(NamedTuple):
    """A tensor of one sample as it is stored, on the host.

    Attributes:
        values (Tensor): The stored values.
        scale (Tensor, optional): What to multiply them by, float32.
        dtype (torch.dtype): Type of the tensor that they stand for.
    """
    values: Tensor
    scale: Optional[Tensor]
    dtype: torch.dtype

    @property
    def layout(self) -> Layout:
        """How :meth:`to_bytes` lays it out."""
        return Layout(tuple(self.values.shape), self.values.dtype, self.dtype)

    @classmethod
    def encode(cls, tensor: Tensor, stored: str) -> 'Stored':
        """Convert a tensor.

        Values that the type cannot hold, because they are too large or not
        finite, are kept in float32.

        Args:
            tensor (Tensor): Tensor of one sample, (1, ...).
            stored (str): Key of :data:`STORED`.
        """
        values = tensor.detach().cpu().contiguous()
        dtype = values.dtype
        values = values.float()
        layout = Layout(tuple(values.shape), STORED[stored], dtype)
        scale = None
        if layout.scale_shape is not None:
            scale = _max_abs(values, layout.scale_shape) / 127
            scale[scale == 0] = 1
            encoded = (values / scale).round().to(torch.int8)
            fits = bool(scale.isfinite().all())
        else:
            encoded = values.to(layout.stored)
            fits = bool(encoded.isfinite().all())
        return cls(encoded, scale, dtype) if fits else cls(values, None, dtype)

    @classmethod
    def from_bytes(cls, content: np.ndarray, layout: Layout) -> 'Stored':
        """Read what :meth:`to_bytes` wrote.

        Args:
            content (ndarray): The bytes, uint8; they are copied.
            layout (Layout): Their layout.
        """
        scales, size = layout.sizes
        scale = None
        if layout.scale_shape is not None:
            scale = torch.from_numpy(np.array(content[:scales])).view(
                torch.float32).reshape(layout.scale_shape)
        values = torch.from_numpy(np.array(
            content[scales:scales + size])).view(layout.stored).reshape(
                layout.shape)
        return cls(values, scale, layout.dtype)

    def to_bytes(self) -> bytes:
        """The scales and the values, in the order of bytes of the machine."""
        parts = [] if self.scale is None else [self.scale]
        return b''.join(part.contiguous().numpy().tobytes()
                        for part in (*parts, self.values))

    def decode(self, device: Optional[torch.device] = None) -> Tensor:
        """The tensor, on a device."""
        return join([self], None, device or torch.device('cpu'))


def _max_abs(values: Tensor, shape: Tuple[int, ...]) -> Tensor:
    dims = [i for i, size in enumerate(shape) if size == 1]
    return values.abs().amax(dims, keepdim=True)


def join(parts: Sequence[Stored], size: Optional[Tuple[int, int]],
         device: torch.device) -> Tensor:
    """Join the tensors of several samples.

    Each value is the same, bit for bit, whatever it is joined with.

    Args:
        parts (Sequence[Stored]): A tensor of each sample, (1, ...).
        size (tuple[int, int], optional): Height and width of the result, for
            maps (1, C, H, W) of different sizes, which are padded with zeros
            right and below. None for tensors of equal shape.
        device (torch.device): Device of the result.

    Returns:
        Tensor: (N, ...).
    """
    if len({(part.values.dtype, part.scale is None) for part in parts}) > 1:
        parts = [_as_float32(part) for part in parts]
    first = parts[0]
    shape = list(first.values.shape[1:])
    if size is not None:
        shape[-2:] = size
    values = _gather([part.values for part in parts], shape, device)
    if first.scale is None:
        return values.to(first.dtype)
    scale = _gather([part.scale for part in parts if part.scale is not None],
                    list(first.scale.shape[1:]), device)
    return values.float().mul_(scale).to(first.dtype)


def _as_float32(part: Stored) -> Stored:
    values = part.values.float()
    if part.scale is not None:
        values = values * part.scale
    return Stored(values, None, part.dtype)


def _gather(tensors: List[Tensor], shape: List[int],
            device: torch.device) -> Tensor:
    """Copy tensors (1, ...) into one and to a device, without a wait."""
    gathered = torch.zeros((len(tensors), *shape),
                           dtype=tensors[0].dtype,
                           pin_memory=device.type == 'cuda')
    for place, tensor in zip(gathered, tensors):
        place[tuple(slice(n) for n in tensor.shape[1:])] = tensor[0]
    return gathered.to(device, non_blocking=True)
