"""The grid of a map in bird's-eye view."""
from typing import Sequence, Tuple

import torch
from torch import Tensor

from mmkd.errors import ConfigError
from mmkd.ops.constants import constant


class BEVGrid:
    """Grid of cells around the LiDAR.

    Maps are (B, C, H=y, W=x): row 0 at the lowest y, column 0 at the lowest
    x. A cell includes its lower bounds but not its upper bounds.

    Args:
        point_cloud_range (Sequence[float]): Lower x, y, z, then upper ones,
            metres.
        voxel_size (Sequence[float]): Size of a cell in x, y, z, metres.

    Raises:
        ConfigError: If the range is not a whole number of cells.
    """

    def __init__(self, point_cloud_range: Sequence[float],
                 voxel_size: Sequence[float]) -> None:
        if len(point_cloud_range) != 6 or len(voxel_size) != 3:
            raise ConfigError('a grid needs a range of six numbers and a cell '
                              f'of three, but got {point_cloud_range} and '
                              f'{voxel_size}')
        self.point_cloud_range = tuple(float(x) for x in point_cloud_range)
        self.voxel_size = tuple(float(x) for x in voxel_size)
        sizes = []
        for low, high, cell in zip(self.point_cloud_range[:3],
                                   self.point_cloud_range[3:],
                                   self.voxel_size):
            count = (high - low) / cell if cell > 0 else 0
            if round(count) < 1 or abs(count - round(count)) > 1e-3:
                raise ConfigError(
                    f'the range from {low} to {high} m is no whole number of '
                    f'cells of {cell} m')
            sizes.append(round(count))
        #: Number of cells in z, y and x.
        self.shape: Tuple[int, int, int] = tuple(sizes[::-1])

    def __repr__(self) -> str:
        nz, ny, nx = self.shape
        return (f'BEVGrid({nx} x {ny} x {nz} cells of '
                f'{" x ".join(f"{x:g}" for x in self.voxel_size)} m)')

    @property
    def num_cells(self) -> int:
        """Number of cells per sample."""
        nz, ny, nx = self.shape
        return nz * ny * nx

    def index(self, points: Tensor, rounding: str = 'floor') -> Tensor:
        """The cell of each point, or -1 outside the range.

        Args:
            points (Tensor): (..., 3), x, y, z in metres.
            rounding (str): ``'floor'``, or ``'trunc'`` as in the released
                code of LSS: towards zero, which accepts points up to one
                cell below each lower bound. Defaults to ``'floor'``.

        Returns:
            Tensor: (...), integers ``(iz * ny + iy) * nx + ix``.
        """
        low = constant(self.point_cloud_range[:3], points)
        place = (points - low) / constant(self.voxel_size, points)
        place = place.floor() if rounding == 'floor' else place.trunc()
        nz, ny, nx = self.shape
        inside = ((place >= 0) &
                  (place < constant([nx, ny, nz], place))).all(-1)
        x, y, z = place.where(inside[..., None], place.new_zeros(
            ())).long().unbind(-1)
        return torch.where(inside, (z * ny + y) * nx + x, -1)

    def centres(self,
                device: torch.device = None,
                dtype: torch.dtype = torch.float32) -> Tensor:
        """Centre of each cell, (nz, ny, nx, 3), x, y, z in metres."""
        axes = [
            torch.arange(n, device=device, dtype=dtype).add(.5) * cell + low
            for n, cell, low in zip(self.shape[::-1], self.voxel_size,
                                    self.point_cloud_range)
        ]
        z, y, x = torch.meshgrid(*axes[::-1], indexing='ij')
        return torch.stack([x, y, z], -1)
