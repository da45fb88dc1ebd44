"""Masks, attention and losses of FGD."""
from typing import List, Sequence, Tuple

import torch
from torch import Tensor

from mmkd.ops.distances import check_features
from mmkd.ops.precision import full_precision

# Cells of box masks that are processed at once, about 16 MB.
_CHUNK = 1 << 22


@full_precision
def attention_maps(feat: Tensor, tau: float = 0.5) -> Tuple[Tensor, Tensor]:
    r"""Attention over the cells and over the channels of a map.

    `Focal and Global Knowledge Distillation for Detectors
    <https://arxiv.org/abs/2111.11837>`_ (CVPR 2022):

    .. math::
        A^S_p = HW \, \mathrm{softmax}_p(\mathrm{mean}_k |F_{kp}| / \tau),
        \quad
        A^C_k = C \, \mathrm{softmax}_k(\mathrm{mean}_p |F_{kp}| / \tau)

    Args:
        feat (Tensor): Features (N, C, H, W).
        tau (float): Temperature. Defaults to 0.5.

    Returns:
        tuple: Attention to cells (N, H, W), which sums to H * W in each
        image, and to channels (N, C), which sums to C.
    """
    if feat.dim() != 4:
        raise ValueError('features must have the shape (N, C, H, W), but got '
                         f'{tuple(feat.shape)}')
    if not tau > 0:
        raise ValueError(f'tau must be positive, but got {tau}')
    num_channels, height, width = feat.shape[1:]
    activity = feat.abs()
    cells = activity.mean(dim=1).flatten(1) / tau
    channels = activity.mean(dim=(2, 3)) / tau
    cells = height * width * cells.softmax(dim=1)
    return (cells.view(-1, height,
                       width), num_channels * channels.softmax(dim=1))


@torch.no_grad()
def box_masks(boxes: Sequence[Tensor], frames: Sequence[Tuple[int, int]],
              size: Tuple[int, int]) -> Tuple[Tensor, Tensor]:
    r"""Weights of the objects' cells and of the background's.

    `Focal and Global Knowledge Distillation for Detectors
    <https://arxiv.org/abs/2111.11837>`_. A box, scaled to the map, covers
    the cells from the floor of its minimum to the ceiling of its maximum
    coordinates, both included; each of them has the weight 1 / (number of its
    cells). Where boxes overlap, the largest weight counts, that of the
    smallest box. The weights of the cells without a box sum to 1.

    A box at the right or the lower border covers cells beyond the map. They
    are counted but have no weight, as in the released code.

    Args:
        boxes (Sequence[Tensor]): Boxes (n, 4) of each of the N images,
            ``(x1, y1, x2, y2)`` in pixels; n may be 0.
        frames (Sequence[tuple[int, int]]): Height and width in pixels of
            the part of each image that the map covers.
        size (tuple[int, int]): Height and width (H, W) of the map in cells.

    Returns:
        tuple: Weights of the objects' cells and of the background's, both
        (N, H, W) in float32 on the device of the boxes. The second is 0 in an
        image that boxes cover completely.
    """
    if len(boxes) != len(frames) or not boxes:
        raise ValueError('boxes and frames must be given for the same images, '
                         f'but there are {len(boxes)} and {len(frames)}')
    foreground = torch.stack(
        [_box_mask(own, frame, size) for own, frame in zip(boxes, frames)])
    empty = foreground == 0
    count = empty.sum(dim=(1, 2), keepdim=True)
    return foreground, empty / count.clamp(min=1)


def _box_mask(boxes: Tensor, frame: Tuple[int, int],
              size: Tuple[int, int]) -> Tensor:
    """Maximum weight in each cell (H, W) over the boxes of one image."""
    if boxes.dim() != 2 or boxes.size(1) != 4:
        raise ValueError('boxes must have the shape (n, 4), but got '
                         f'{tuple(boxes.shape)}')
    height, width = size
    boxes = boxes.float()
    # Multiply by the map's size first: a product of integers is exact.
    x1 = (boxes[:, 0] * width / frame[1]).floor()
    y1 = (boxes[:, 1] * height / frame[0]).floor()
    x2 = (boxes[:, 2] * width / frame[1]).ceil()
    y2 = (boxes[:, 3] * height / frame[0]).ceil()
    weight = 1 / ((x2 + 1 - x1) * (y2 + 1 - y1)).clamp(min=1)
    columns = torch.arange(width, device=boxes.device)
    rows = torch.arange(height, device=boxes.device)
    # The mask of a box is the product of its rows and columns.
    columns = (columns >= x1[:, None]) & (columns <= x2[:, None])
    rows = (rows >= y1[:, None]) & (rows <= y2[:, None])
    rows = rows * weight[:, None]
    mask = boxes.new_zeros(size)
    step = max(1, _CHUNK // (height * width))
    for start in range(0, len(boxes), step):
        part = slice(start, start + step)
        weights = rows[part, :, None] * columns[part, None, :]
        mask = torch.maximum(mask, weights.amax(dim=0))
    return mask


@full_precision
def focal_distances(feat_s: Tensor, feat_t: Tensor, cells: Tensor,
                    channels: Tensor, masks: Sequence[Tensor]) -> List[Tensor]:
    r"""Attention-weighted squared distance of features, for several masks.

    `Focal and Global Knowledge Distillation for Detectors
    <https://arxiv.org/abs/2111.11837>`_, for a mask M of the objects or of
    the background:

    .. math::
        L = \frac{1}{N} \sum_n \sum_p M_{np} A^S_{np}
            \sum_k A^C_{nk} (F^T_{nkp} - F^S_{nkp})^2

    The distance is summed over cells and channels and averaged over the
    images. The sum over channels is computed once for all masks.

    Args:
        feat_s (Tensor): Student's features (N, C, H, W).
        feat_t (Tensor): Teacher's features (N, C, H, W); no gradient.
        cells (Tensor): Teacher's attention to cells (N, H, W), see
            :func:`attention_maps`.
        channels (Tensor): Teacher's attention to channels (N, C).
        masks (Sequence[Tensor]): Masks (N, H, W), see :func:`box_masks`.

    Returns:
        list[Tensor]: One scalar per mask.
    """
    check_features(feat_s, feat_t)
    squares = (feat_s - feat_t.detach()).square().flatten(2)
    distance = torch.bmm(channels.detach().unsqueeze(1), squares).flatten()
    distance = distance * cells.detach().flatten()
    return [(distance * mask.flatten()).sum() / len(feat_s) for mask in masks]


@full_precision
def attention_loss(attention_s: Tuple[Tensor, Tensor],
                   attention_t: Tuple[Tensor, Tensor]) -> Tensor:
    """Absolute difference of two attentions.

    `Focal and Global Knowledge Distillation for Detectors
    <https://arxiv.org/abs/2111.11837>`_: summed over cells and over
    channels, averaged over the images.

    Args:
        attention_s (tuple[Tensor, Tensor]): The student's, (N, H, W) and
            (N, C), see :func:`attention_maps`.
        attention_t (tuple[Tensor, Tensor]): The teacher's; no gradient.

    Returns:
        Tensor: Scalar loss.
    """
    cells_s, channels_s = attention_s
    cells_t, channels_t = attention_t
    total = (cells_s - cells_t.detach()).abs().sum() + (
        channels_s - channels_t.detach()).abs().sum()
    return total / len(cells_s)
