"""Masks of valid cells, and exact zeros if there are none."""
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.precision import full_precision, upcast


def zero_like_graph(*tensors: Tensor) -> Tensor:
    """Return an exact zero that is attached to the graph of the tensors.

    DDP waits for the gradient of every parameter, so a loss without any
    object or pixel must still reach the parameters behind its inputs. The
    sum over an empty slice does this and is 0 for any values, whereas ``0 *
    tensor.sum()`` is NaN if a value is infinite.

    Args:
        tensors (Tensor): Tensors of any shape, at least one.

    Returns:
        Tensor: A scalar 0 in float32 (float64 if an input is float64).
    """
    zeros = [upcast(tensor.reshape(-1)[:0].sum()) for tensor in tensors]
    return sum(zeros[1:], zeros[0])


def masked_rows(values: Tensor, mask: Tensor) -> Tensor:
    """Rows of a tensor where a mask is true, for a sum over them.

    On a CPU, these are the only rows. On another device the host would have
    to wait for their number; there, all rows are returned, with zeros where
    the mask is false.

    Args:
        values (Tensor): (N, C).
        mask (Tensor): (N, ), bool.

    Returns:
        Tensor: (n, C), with n <= N.
    """
    if mask.device.type == 'cpu':
        return values[mask]
    return values.masked_fill(~mask[:, None], 0)


def label_maps(labels: Tensor) -> Tensor:
    """Convert label maps to the shape (N, Hg, Wg) and 32-bit integers.

    Args:
        labels (Tensor): Integer labels (N, Hg, Wg) or (N, 1, Hg, Wg).

    Returns:
        Tensor: Labels (N, Hg, Wg).
    """
    if labels.dim() == 4 and labels.size(1) == 1:
        labels = labels.squeeze(1)
    if labels.dim() != 3 or labels.is_floating_point():
        raise ValueError('labels must be integers of shape (N, H, W), but '
                         f'got {tuple(labels.shape)} of {labels.dtype}')
    return labels.int()


def share_of_cells(maps: Tensor, size: Tuple[int, int]) -> Tensor:
    """Fraction of true pixels in each cell of a grid.

    Args:
        maps (Tensor): Bool maps (N, Hg, Wg).
        size (Tuple[int, int]): Height and width (H, W) of the grid. Cells
            overlap by a pixel if it does not divide the map.

    Returns:
        Tensor: Means in float32, (N, H, W).
    """
    # uint8 is converted to float much faster than bool.
    return F.adaptive_avg_pool2d(maps.view(torch.uint8).float(), size)


@torch.no_grad()
def labelled_cells(labels: Tensor,
                   size: Tuple[int, int],
                   ignore_index: int = 255,
                   threshold: float = 0.5) -> Tensor:
    """Cells of a grid in which enough pixels are labelled.

    Args:
        labels (Tensor): Integer labels (N, Hg, Wg) or (N, 1, Hg, Wg).
        size (Tuple[int, int]): Height and width (H, W) of the grid.
        ignore_index (int): Label of pixels to ignore. Defaults to 255.
        threshold (float): Minimum fraction of labelled pixels. Defaults to
            0.5.

    Returns:
        Tensor: Bool map (N, 1, H, W).
    """
    labelled = label_maps(labels) != ignore_index
    return share_of_cells(labelled, size).unsqueeze(1) >= threshold


def valid_cells(valid: Optional[Tensor], logits: Tensor) -> Optional[Tensor]:
    """Convert a map of valid cells to the shape (N, 1, H, W) and bool.

    Args:
        valid (Tensor, optional): Map of cells to include, (N, H, W) or
            (N, 1, H, W). None means all cells.
        logits (Tensor): The logits that it belongs to, (N, C, H, W).

    Returns:
        Optional[Tensor]: Bool map (N, 1, H, W), or None.
    """
    if valid is None:
        return None
    if valid.dim() == 3:
        valid = valid.unsqueeze(1)
    expected = (logits.size(0), 1, *logits.shape[2:])
    if tuple(valid.shape) != expected:
        raise ValueError('the map of valid cells must have the shape '
                         f'{expected}, but got {tuple(valid.shape)}')
    return valid.to(torch.bool)


def mean_over_valid(values: Tensor, valid: Optional[Tensor]) -> Tensor:
    """Mean over the valid cells of each image, then over the images.

    Args:
        values (Tensor): One number per cell, (N, 1, H, W).
        valid (Tensor, optional): Bool map (N, 1, H, W); None means all.

    Returns:
        Tensor: Scalar. An image without a valid cell counts as 0.
    """
    if valid is None:
        return values.mean()
    total = values.masked_fill(~valid, 0).sum(dim=(1, 2, 3))
    return (total / valid.sum(dim=(1, 2, 3)).clamp(min=1)).mean()


@full_precision
def dice_similarity(masks: Tensor, eps: float = 1e-12) -> Tensor:
    r"""Dice coefficient of two masks of an image, averaged over pairs.

    .. math::
        \mathrm{mean}_{i \ne j} \frac{2 \langle M_i, M_j \rangle}
            {|M_i|^2 + |M_j|^2}

    averaged over the images, as in `MasKD
    <https://arxiv.org/abs/2205.14589>`_ (ICLR 2023).

    Args:
        masks (Tensor): (N, M, ...), with M of 2 at least.
        eps (float): Minimum of the denominator. Defaults to 1e-12.

    Returns:
        Tensor: Scalar, from 0 to 1; 1 for equal masks, 0 for empty ones.
    """
    masks, count = masks.flatten(2), masks.size(1)
    products = masks @ masks.transpose(1, 2)
    norms = products.diagonal(dim1=1, dim2=2)
    sums = norms.unsqueeze(2) + norms.unsqueeze(1)
    dice = 2 * products / sums.clamp(min=eps)
    same = torch.eye(count, dtype=torch.bool, device=masks.device)
    return dice.masked_fill(same, 0).sum() / (
        masks.size(0) * count * (count - 1))
