"""Depth bins, and depth maps from LiDAR points."""
import math
from typing import List, Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.bev.geometry import CameraGeometry
from mmkd.errors import ConfigError
from mmkd.ops.precision import full_precision


class DepthBins:
    """Intervals of depth.

    Args:
        low (float): Nearest depth, metres.
        high (float): Where the last bin ends, metres.
        num (int): Number of bins, D.
        mode (str): ``'UD'``, uniform; ``'LID'``, whose width grows linearly,
            as in CaDDN (Reading et al., CVPR 2021): bin i begins at ``low +
            s * i * (i + 1) / 2`` with ``s = 2 (high - low) / (D (D + 1))``;
            ``'SID'``, uniform in the logarithm of ``1 + depth``. Defaults to
            ``'UD'``.

    Raises:
        ConfigError: If the mode is unknown or the interval is empty.
    """

    def __init__(self,
                 low: float,
                 high: float,
                 num: int,
                 mode: str = 'UD') -> None:
        if mode not in ('UD', 'LID', 'SID'):
            raise ConfigError(f'depth bins are UD, LID or SID, not {mode!r}')
        if not 0 < low < high or num < 1:
            raise ConfigError('depth bins need 0 < low < high and num >= 1, '
                              f'but got {low}, {high} and {num}')
        self.low, self.high, self.num, self.mode = low, high, num, mode

    def __repr__(self) -> str:
        return (f'DepthBins({self.low:g} to {self.high:g} m, {self.num}, '
                f'{self.mode})')

    def position(self, depth: Tensor) -> Tensor:
        """Continuous bin index of depths (...) in metres; an integer at the
        near edge of each bin, NaN where the mode is undefined.
        """
        if self.mode == 'UD':
            return (depth - self.low) * (self.num / (self.high - self.low))
        if self.mode == 'LID':
            step = 2 * (self.high - self.low) / (self.num * (self.num + 1))
            return -.5 + .5 * torch.sqrt(1 + 8 * (depth - self.low) / step)
        begin = math.log1p(self.low)
        return (torch.log1p(depth) - begin) * (
            self.num / (math.log1p(self.high) - begin))

    def edges(self, device: Optional[torch.device] = None) -> Tensor:
        """Edges of the bins, (D + 1, ) in metres, float64."""
        i = torch.arange(self.num + 1, dtype=torch.float64, device=device)
        if self.mode == 'UD':
            return self.low + i * ((self.high - self.low) / self.num)
        if self.mode == 'LID':
            step = 2 * (self.high - self.low) / (self.num * (self.num + 1))
            return self.low + step * i * (i + 1) / 2
        begin = math.log1p(self.low)
        return torch.expm1(begin + i *
                           ((math.log1p(self.high) - begin) / self.num))

    def index(self, depth: Tensor) -> Tensor:
        """Bin of each depth, (...); D if it lies in no bin: too near, at
        ``high`` or beyond, 0 (unknown) or NaN."""
        # Compare with the edges, since the formula may be NaN or round.
        valid = (depth >= self.low) & (depth < self.high)
        place = self.position(depth.masked_fill(~valid, self.low))
        place = place.floor().long().clamp(0, self.num - 1)
        return place.masked_fill(~valid, self.num)

    def one_hot(self, depth: Tensor) -> Tensor:
        """Convert depth maps (M, h, w) in metres to one-hot distributions.

        Returns:
            Tensor: (M, D, h, w), float32; all 0 where a depth lies in no bin.
        """
        hot = F.one_hot(self.index(depth), self.num + 1)[..., :self.num]
        return hot.permute(0, 3, 1, 2).float()


@torch.no_grad()
def render_depth(points: List[Tensor], geometry: CameraGeometry) -> Tensor:
    """Render depth maps from points: the nearest point of each pixel.

    Args:
        points (list[Tensor]): (n, >=3) of each sample, x, y, z in the
            augmented LiDAR frame, metres.
        geometry (CameraGeometry): The cameras.

    Returns:
        Tensor: (B, N, H, W) in metres; 0 in pixels without a point.
    """
    height, width = geometry.image_size
    maps = []
    for i, cloud in enumerate(points):
        u, v, d = geometry.project(cloud[:, :3].float(), i)[0].unbind(-1)
        u, v = u.round(), v.round()
        seen = (d > 0) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
        # Points out of sight are no minimum in the pixel that they get.
        column, row = u.long() % width, v.long() % height
        flat = d.new_full((geometry.num_cameras, height * width), math.inf)
        flat.scatter_reduce_(1, row * width + column,
                             d.masked_fill(~seen, math.inf), 'amin')
        maps.append(flat.view(-1, height, width))
    maps = torch.stack(maps)
    return maps.where(maps.isfinite(), maps.new_zeros(()))


@torch.no_grad()
def complete_depth(depth: Tensor, size: int = 5) -> Tensor:
    """Fill unknown pixels with the nearest depth around them.

    This is the first step of IP-Basic (Ku et al., CRV 2018), used for CaDDN's
    depth maps: a dilation, here with a square; known pixels do not change.

    Args:
        depth (Tensor): (..., H, W) in metres, 0 where unknown.
        size (int): Side of the square in pixels, odd. Defaults to 5.

    Returns:
        Tensor: Of the same shape; 0 where the whole square is unknown.

    Raises:
        ValueError: If the size is not odd.
    """
    if size % 2 == 0:
        raise ValueError(f'size must be odd, but is {size}')
    near = -depth.masked_fill(depth <= 0, math.inf).reshape(
        -1, 1, *depth.shape[-2:])
    near = -F.max_pool2d(near, size, 1, size // 2).view(depth.shape)
    near = near.where(near.isfinite(), near.new_zeros(()))
    return depth.where(depth > 0, near)


@torch.no_grad()
def pool_depth(depth: Tensor, stride: int, mode: str = 'min') -> Tensor:
    """Reduce each block of a depth map to one depth, using its known pixels.

    Args:
        depth (Tensor): (..., H, W) in metres, 0 where unknown.
        stride (int): Side of a block in pixels.
        mode (str): ``'min'``, or ``'mean'`` as in CMKD and MonoTAKD.
            Defaults to ``'min'``.

    Returns:
        Tensor: (..., ceil(H / stride), ceil(W / stride)), 0 where the whole
        block is unknown.
    """
    if mode not in ('min', 'mean'):
        raise ValueError(f"mode is 'min' or 'mean', not {mode!r}")
    *lead, height, width = depth.shape
    blocks = F.pad(
        depth.reshape(-1, height, width),
        (0, -width % stride, 0, -height % stride))
    blocks = blocks.unflatten(1, (-1, stride)).unflatten(-1, (-1, stride))
    known = blocks > 0
    if mode == 'mean':
        found = blocks.sum((2, 4)) / known.sum((2, 4)).clamp(min=1)
    else:
        found = blocks.masked_fill(~known, math.inf).amin((2, 4))
        found = found.masked_fill(~known.any(4).any(2), 0)
    return found.view(*lead, *found.shape[1:])


@full_precision
def depth_cross_entropy(logits: Tensor, depth: Tensor,
                        bins: DepthBins) -> Tensor:
    """Cross entropy between depth logits and LiDAR depths.

    Args:
        logits (Tensor): (M, D, h, w), or (M, D + 1, h, w) with a last class
            for depths outside all bins, which is not supervised.
        depth (Tensor): (M, h, w) in metres; pixels whose depth lies in no
            bin are ignored.
        bins (DepthBins): The D bins.

    Returns:
        Tensor: Mean over the pixels with a depth; an exact 0 attached to the
        graph if there are none.
    """
    target = bins.index(depth)
    total = F.cross_entropy(
        logits, target, ignore_index=bins.num, reduction='sum')
    return total / (target < bins.num).sum().clamp(min=1)
