"""Losses of UniDistill at the objects of bird's-eye-view maps.

`UniDistill: A Universal Cross-Modality Knowledge Distillation Framework for
3D Object Detection in Bird's-Eye View <https://arxiv.org/abs/2303.15083>`_
(Zhou et al., CVPR 2023). Maps are (B, C, H=y, W=x) over a range ``(x_min,
y_min, x_max, y_max)`` in metres of the LiDAR frame; boxes are (n, 5): x, y,
length, width in metres and yaw in radians, the length along the heading.
"""
from typing import List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.masks import zero_like_graph
from mmkd.ops.precision import full_precision

# Key points of a box, in shares of its length and width: four corners, the
# centre, and the midpoints of the edges.
_ALONG = (-.5, -.5, .5, .5, 0., -.5, 0., .5, 0.)
_ACROSS = (-.5, .5, .5, -.5, 0., 0., .5, 0., -.5)
#: Number of key points of a box.
KEY_POINTS = len(_ALONG)


def box_key_points(boxes: Tensor) -> Tensor:
    """Corners, centre and edge midpoints of boxes in bird's-eye view.

    Args:
        boxes (Tensor): (n, 5): x, y, length, width, yaw.

    Returns:
        Tensor: (n, 9, 2), x and y in metres: the four corners, clockwise
        from above, starting at the back right; the centre; the midpoints of
        the edges, starting between the first two corners.
    """
    # Without a tensor of constants, which a step would copy to the device.
    length, width = boxes[:, 2], boxes[:, 3]
    x, y = (torch.stack([size * share for share in shares], -1)
            for size, shares in ((length, _ALONG), (width, _ACROSS)))
    cos, sin = boxes[:, 4, None].cos(), boxes[:, 4, None].sin()
    return torch.stack([cos * x - sin * y, sin * x + cos * y],
                       -1) + boxes[:, None, :2]


def points_in_range(points: Tensor, extent: Sequence[float]) -> Tensor:
    """Which points (..., 2) lie in a range, (...), bool."""
    x, y = points.unbind(-1)
    return (x >= extent[0]) & (x < extent[2]) & (y >= extent[1]) & (
        y < extent[3])


def sample_bev(feat: Tensor,
               points: List[Tensor],
               extent: Sequence[float],
               transpose_xy: bool = False) -> Tensor:
    """Sample a map bilinearly at points; 0 outside the map.

    Args:
        feat (Tensor): (B, C, H, W).
        points (list[Tensor]): (n_b, P, 2) of each sample, x and y in metres.
        extent (Sequence[float]): Range of the map.
        transpose_xy (bool): Whether to swap x and y, as in the released code.
            Defaults to False.

    Returns:
        Tensor: (sum of n_b, P, C).
    """
    found = []
    for i, own in enumerate(points):
        if not len(own):
            continue
        place = torch.stack([
            2 * (place - low) / (high - low) - 1 for place, low, high in zip(
                own.to(feat).unbind(-1), extent[:2], extent[2:])
        ], -1)
        if transpose_xy:
            place = place.flip(-1)
        found.append(
            F.grid_sample(feat[i:i + 1], place[None],
                          align_corners=False)[0].permute(1, 2, 0))
    if not found:
        return feat[0].permute(1, 2, 0).new_zeros(
            (0, KEY_POINTS, feat.size(1))) + zero_like_graph(feat)
    return torch.cat(found)


def _mean_over_boxes(values: Tensor, count: Optional[Tensor],
                     eps: float) -> Tensor:
    count = values.size(0) if count is None else count
    return values.sum() / (count + eps)


@full_precision
def key_point_distance(feat_s: Tensor,
                       feat_t: Tensor,
                       valid: Optional[Tensor] = None,
                       avg_factor: Optional[Tensor] = None,
                       eps: float = 1e-4) -> Tensor:
    """Mean absolute difference of features at the points of boxes.

    Args:
        feat_s (Tensor): Student's features (N, P, C).
        feat_t (Tensor): Teacher's features (N, P, C).
        valid (Tensor, optional): Points to include, (N, P), bool. A box
            without any counts as 0. Defaults to None: all.
        avg_factor (Tensor, optional): Divisor of the sum over the boxes.
            Defaults to None: N.
        eps (float): Added to the divisor. Defaults to 1e-4.

    Returns:
        Tensor: Scalar; exactly 0 without boxes.
    """
    if not len(feat_s):
        return zero_like_graph(feat_s)
    gap = (feat_s - feat_t.detach()).abs().mean(2)
    if valid is None:
        return _mean_over_boxes(gap.mean(1), avg_factor, eps)
    gap = (gap * valid).sum(1) / valid.sum(1).clamp(min=1)
    return _mean_over_boxes(gap, avg_factor, eps)


@full_precision
def key_point_relations(feat: Tensor, eps: float = 1e-4) -> Tensor:
    """Cosine similarities between the features of the points of each box.

    Args:
        feat (Tensor): (N, P, C).
        eps (float): Added to the norms, so that the cosine with a zero
            feature is 0. Defaults to 1e-4.

    Returns:
        Tensor: (N, P, P).
    """
    unit = feat / (torch.linalg.vector_norm(feat, dim=2, keepdim=True) + eps)
    return unit @ unit.transpose(1, 2)


@full_precision
def relation_distance(feat_s: Tensor,
                      feat_t: Tensor,
                      valid: Optional[Tensor] = None,
                      avg_factor: Optional[Tensor] = None,
                      eps: float = 1e-4) -> Tensor:
    """Mean absolute difference of the relations within boxes.

    Args:
        feat_s (Tensor): Student's features (N, P, C).
        feat_t (Tensor): Teacher's features (N, P, C'); C' may differ.
        valid (Tensor, optional): As in :func:`key_point_distance`; a pair is
            included if both points are. Defaults to None.
        avg_factor (Tensor, optional): As in :func:`key_point_distance`.
        eps (float): As in :func:`key_point_relations`, and added to the
            divisor. Defaults to 1e-4.

    Returns:
        Tensor: Scalar; exactly 0 without boxes.
    """
    if not len(feat_s):
        return zero_like_graph(feat_s)
    gap = (key_point_relations(feat_s, eps) -
           key_point_relations(feat_t.detach(), eps)).abs()
    if valid is None:
        return _mean_over_boxes(gap.mean((1, 2)), avg_factor, eps)
    pairs = valid[:, :, None] & valid[:, None]
    gap = (gap * pairs).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)
    return _mean_over_boxes(gap, avg_factor, eps)


def gaussian_radius(length: Tensor,
                    width: Tensor,
                    min_overlap: float = .7) -> Tensor:
    """Distance that a box can move before its overlap falls below a bound.

    CornerNet's formula, as in mmdet3d's function of this name, for many boxes
    at once.

    Args:
        length (Tensor): (n, ), in cells.
        width (Tensor): (n, ), in cells.
        min_overlap (float): Minimum overlap. Defaults to 0.7.

    Returns:
        Tensor: (n, ), in cells.
    """
    total, area, m = length + width, length * width, min_overlap
    first = (total + (total**2 - 4 * area * (1 - m) /
                      (1 + m)).clamp(min=0).sqrt()) / 2
    second = (2 * total + (4 * total**2 - 16 *
                           (1 - m) * area).clamp(min=0).sqrt()) / 2
    third = (-2 * m * total + (4 * (m * total)**2 + 16 * m *
                               (1 - m) * area).clamp(min=0).sqrt()) / 2
    return torch.stack([first, second, third]).amin(0)


@torch.no_grad()
def box_gaussian_mask(boxes: List[Tensor],
                      size: Tuple[int, int],
                      extent: Sequence[float],
                      min_overlap: float = .7,
                      min_radius: int = 0) -> Tensor:
    """A Gaussian for each box, with 1 in the cell of its centre.

    The radius depends only on length and width. Where Gaussians overlap, the
    larger value counts. Parts outside the map are cut off.

    Args:
        boxes (list[Tensor]): (n, 5) of each sample.
        size (tuple[int, int]): Height H and width W of the map, in cells.
        extent (Sequence[float]): Range of the map.
        min_overlap (float): See :func:`gaussian_radius`. Defaults to 0.7.
        min_radius (int): Minimum radius in cells. Defaults to 0.

    Returns:
        Tensor: (B, H, W), float32, 0 to 1.
    """
    height, width = size
    cells = [(extent[2] - extent[0]) / width, (extent[3] - extent[1]) / height]
    masks = []
    for own in boxes:
        own = own.float()
        radius = gaussian_radius(own[:, 2] / cells[0], own[:, 3] / cells[1],
                                 min_overlap)
        radius = radius.int().clamp(min=min_radius)[:, None]

        def gap(count: int, axis: int) -> Tensor:
            """Distances to the centres in cells, (n, count); infinite if
            far."""
            middle = ((own[:, axis] - extent[axis]) / cells[axis]).floor()
            line = torch.arange(count, device=own.device) - middle[:, None]
            return line.masked_fill(line.abs() > radius, torch.inf)

        sigma = (2 * radius + 1).float() / 6
        x, y = gap(width, 0) / sigma, gap(height, 1) / sigma
        blobs = (-(y[:, :, None]**2 + x[:, None]**2) / 2).exp()
        masks.append(
            blobs.amax(0) if len(own) else own.new_zeros(height, width))
    return torch.stack(masks)


@full_precision
def class_heat(logits: List[Tensor],
               tau: float = 1.,
               eps: float = 1e-4) -> Tensor:
    """Maximum class probability in each cell.

    Args:
        logits (list[Tensor]): Heatmaps of each task, (B, C_i, H, W).
        tau (float): Temperature. Defaults to 1.
        eps (float): Probabilities lie in [eps, 1 - eps]. Defaults to 1e-4.

    Returns:
        Tensor: (B, H, W).
    """
    return (torch.cat(logits, 1) / tau).sigmoid().clamp(eps, 1 - eps).amax(1)


@full_precision
def masked_distance(values_s: Tensor,
                    values_t: Tensor,
                    mask: Tensor,
                    avg_factor: Optional[Tensor] = None,
                    eps: float = 1e-4) -> Tensor:
    """Masked absolute difference, averaged over channels if there are any.

    Args:
        values_s (Tensor): Student's (B, H, W) or (B, C, H, W).
        values_t (Tensor): Teacher's, of the same shape.
        mask (Tensor): Weight of each cell, (B, H, W).
        avg_factor (Tensor, optional): Divisor of the sum over the cells.
            Defaults to None: the sum of the mask.
        eps (float): Added to the divisor. Defaults to 1e-4.

    Returns:
        Tensor: Scalar; exactly 0 for a mask of zeros.
    """
    gap = (values_s - values_t.detach()).abs()
    if gap.dim() == 4:
        gap = gap.mean(1)
    avg_factor = mask.sum() if avg_factor is None else avg_factor
    return (mask * gap).sum() / (avg_factor + eps)
