"""Weighted sums of pixels in the cells of a map, without the lifted tensor.

Lift-splat adds the context of each pixel, times the probability of each
depth, to the cell that contains this depth; backward sampling reads the same
product at the centre of each cell. Both are a sum over *entries* e,

    out[cell(e)] += scale(e) * depth[e] * context[pixel(e)],

that is, a sparse matrix times a dense table of pixels. The positions in the
matrix depend only on the geometry; its values are the depths. The tensor of
all products, (B, N, D, h, w, C), is never created, and with a fixed geometry
nothing has to be sorted.
"""
from functools import cached_property
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmkd.ops.precision import full_precision

METHODS = ('fused', 'index_add')

#: Number of unused entries in a spare cell. One cell for all of them would
#: be a long sum in one thread of a GPU.
_IN_A_SPARE_CELL = 64


def candidates(mask: Tensor) -> Tensor:
    """Rows of a mask (n, ) that may be true, in ascending order.

    On a CPU, these are the true ones. On another device they are all rows:
    the host would have to wait for the number of the true ones.
    """
    if mask.device.type == 'cpu':
        return mask.nonzero()[:, 0]
    return torch.arange(len(mask), device=mask.device)


class LiftIndex:
    """The cell, pixel and depth of each entry; see the module.

    It depends only on the geometry, so it can be reused while the cameras and
    augmentations do not change. The sorted orders for the fused sum are
    computed once, on first use.

    Args:
        cell (Tensor): Cell of each entry, (E, ), integers below
            ``num_cells``.
        pixel (Tensor): Row of each entry in the table of pixels, (E, ).
        depth (Tensor): Index of each entry in the flattened depth maps,
            (E, ).
        num_cells (int): Number of cells in the batch.
        num_pixels (int): Number of pixels in the batch.
        scale (Tensor, optional): Constant factor of each entry, (E, ); None
            means 1. Defaults to None.
        used (Tensor, optional): Entries that count, (E, ), bool; the others
            may have any cell. They are left out on a CPU, and summed in spare
            cells on other devices, for the host would have to wait for their
            number. Defaults to None: all.
    """

    def __init__(self,
                 cell: Tensor,
                 pixel: Tensor,
                 depth: Tensor,
                 num_cells: int,
                 num_pixels: int,
                 scale: Optional[Tensor] = None,
                 used: Optional[Tensor] = None) -> None:
        self.num_cells, self.num_pixels = num_cells, num_pixels
        #: Number of cells, the spare ones included.
        self.num_sums = num_cells
        if used is not None:
            kept = candidates(used)
            if used.device.type == 'cpu':
                cell, pixel, depth = cell[kept], pixel[kept], depth[kept]
                scale = None if scale is None else scale[kept]
            else:
                spare = len(used) // _IN_A_SPARE_CELL + 1
                self.num_sums += spare
                cell = cell.where(used, num_cells + kept % spare)
        self.cell, self.pixel, self.depth = cell, pixel, depth
        self.scale = scale

    @cached_property
    def by_cell(self) -> Tuple[Tensor, Tensor]:
        """Entries sorted by cell, (E, ), and the offset of each cell,
        (num_sums + 1, )."""
        return _sorted(self.cell, self.num_sums)

    @cached_property
    def by_pixel(self) -> Tuple[Tensor, Tensor]:
        """The same by pixel."""
        return _sorted(self.pixel, self.num_pixels)

    @cached_property
    def in_cells(self) -> Tuple[Tensor, Tensor, Tensor]:
        """Pixel and depth of the entries sorted by cell, and the offsets of
        the cells."""
        order, begin = self.by_cell
        return self.pixel[order], self.depth[order], begin

    @cached_property
    def in_pixels(self) -> Tuple[Tensor, Tensor, Tensor]:
        """Cell of the entries sorted by pixel, their position in the order by
        cell, and the offsets of the pixels."""
        order, begin = self.by_pixel
        place = torch.empty_like(order)
        place[self.by_cell[0]] = torch.arange(
            order.numel(), device=order.device)
        return self.cell[order], place[order], begin

    @cached_property
    def scale_in_cells(self) -> Optional[Tensor]:
        """Factors of the entries sorted by cell."""
        return None if self.scale is None else self.scale[self.by_cell[0]]


def _sorted(key: Tensor, num: int) -> Tuple[Tensor, Tensor]:
    ordered, order = torch.sort(key, stable=True)
    # Unlike bincount, this does not wait for the device.
    return order, torch.searchsorted(ordered,
                                     torch.arange(num + 1, device=key.device))


def _bags(table: Tensor, rows: Tensor, begin: Tensor,
          weights: Tensor) -> Tensor:
    """Weighted sums of rows of a table, one per bag."""
    return F.embedding_bag(
        rows,
        table,
        begin,
        mode='sum',
        per_sample_weights=weights,
        include_last_offset=True)


class _TableGradient(torch.autograd.Function):
    """Gradient of the table of pixels, computed as a sum over sorted entries.

    The backward pass of ``embedding_bag`` would sort the entries in each
    step.
    """

    @staticmethod
    def forward(ctx, pooled: Tensor, table: Tensor, weights: Tensor,
                index: LiftIndex) -> Tensor:
        """Return the sums unchanged."""
        ctx.save_for_backward(weights)
        ctx.index = index
        return pooled.view_as(pooled)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Pass on the gradient, and sum it over the cells of each pixel."""
        weights, = ctx.saved_tensors
        grad_table = None
        if ctx.needs_input_grad[1]:
            cells, place, begin = ctx.index.in_pixels
            grad_table = _bags(grad.contiguous(), cells, begin, weights[place])
        return grad, grad_table, None, None


@full_precision
def lift_pool(depth: Tensor,
              context: Tensor,
              index: LiftIndex,
              method: str = 'fused') -> Tensor:
    """Sum weighted pixels in cells.

    Args:
        depth (Tensor): Weight of each depth of each pixel, (M, D, h, w).
        context (Tensor): Features of each pixel, (M, C, h, w).
        index (LiftIndex): Their cells.
        method (str): ``'fused'`` creates no tensor of all entries, but sorts
            them once per index; ``'index_add'`` creates it, (E, C), and does
            not sort. Both agree up to rounding; on a GPU, only ``'fused'`` is
            bitwise reproducible. Defaults to ``'fused'``.

    Returns:
        Tensor: (num_cells, C), float32 or better; a cell without an entry is
        exactly 0.
    """
    if method not in METHODS:
        raise ValueError(f'method is one of {", ".join(METHODS)}, not '
                         f'{method!r}')
    table = context.permute(0, 2, 3, 1).flatten(0, 2)
    if method == 'index_add':
        weights = depth.flatten().index_select(0, index.depth)
        if index.scale is not None:
            weights = weights * index.scale.to(weights)
        rows = table.index_select(0, index.pixel) * weights[:, None]
        sums = rows.new_zeros(index.num_sums,
                              table.size(1)).index_add(0, index.cell, rows)
    else:
        pixels, depths, begin = index.in_cells
        weights = depth.flatten().index_select(0, depths)
        if index.scale is not None:
            weights = weights * index.scale_in_cells.to(weights)
        table = table.contiguous()
        pooled = _bags(table.detach(), pixels, begin, weights)
        sums = _TableGradient.apply(pooled, table, weights.detach(), index)
    spare = index.num_sums > index.num_cells
    return sums[:index.num_cells] if spare else sums
