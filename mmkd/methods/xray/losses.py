"""Losses between a teacher of object-complete frames and its student.

Gambashidze et al., Weak-to-Strong 3D Object Detection with X-Ray
Distillation, CVPR 2024, which names heads, embeddings and detections; masks
and weights as in Yang et al., SparseKD, NeurIPS 2022.
"""
from typing import List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.constants import constant
from mmkd.ops.detection_heads import EPS, masked_cells
from mmkd.ops.masks import zero_like_graph
from mmkd.ops.precision import full_precision
from mmkd.utils.devices import send


@full_precision
def soft_focal_loss(logits_s: Tensor,
                    logits_t: Tensor,
                    peaks: Tensor,
                    eps: float = 1e-4) -> Tensor:
    """Focal loss of a heatmap, with the teacher's scores between the peaks.

    CenterPoint's loss (from CornerNet), with a penalty near objects that
    follows the teacher's score instead of a Gaussian, as in Wang et al.,
    Sparse2Dense, NeurIPS 2022: ``-1/n sum [peak (1 - s)^2 log s + (1 - t)^4
    s^2 log(1 - s)]``.

    Args:
        logits_s (Tensor): Student's logits (B, C, H, W).
        logits_t (Tensor): Teacher's logits (B, C, H, W).
        peaks (Tensor): (B, C, H, W), bool: the centres of the n objects.
        eps (float): The student's scores lie in [eps, 1 - eps]. Defaults to
            1e-4.

    Returns:
        Tensor: Scalar; 0 without objects. Not 0 for equal logits.
    """
    score = logits_s.sigmoid().clamp(eps, 1 - eps)
    found = (1 - score).square() * score.log() * peaks
    rest = (1 - logits_t.detach().sigmoid())**4 * score.square() * (
        1 - score).log()
    count = peaks.sum()
    total = -(found + rest).sum() / count.clamp(min=1)
    return total.where(count > 0, 0.)


def roi_grid(boxes: Tensor, point_cloud_range: Sequence[float],
             size: int) -> Tensor:
    """Points of a regular grid in boxes, in bird's-eye view.

    Args:
        boxes (Tensor): (R, 5): centre x and y, length, width, in metres, and
            yaw, in radians, in the LiDAR frame.
        point_cloud_range (Sequence[float]): Range of the map, ``(x1, y1, z1,
            x2, y2, z2)``, metres.
        size (int): Points along each side.

    Returns:
        Tensor: (R, size, size, 2), x and y for ``grid_sample``: -1 to 1 over
        the map. The length is along the last side.
    """
    steps = (torch.arange(size, dtype=boxes.dtype, device=boxes.device) +
             .5) / size - .5
    along = boxes[:, 2, None, None] * steps[None, None, :]
    across = boxes[:, 3, None, None] * steps[None, :, None]
    cos, sin = (f(boxes[:, 4, None, None]) for f in (torch.cos, torch.sin))
    x = boxes[:, 0, None, None] + cos * along - sin * across
    y = boxes[:, 1, None, None] + sin * along + cos * across
    low = constant(point_cloud_range[:2], boxes)
    high = constant(point_cloud_range[3:5], boxes)
    return (torch.stack([x, y], -1) - low) / (high - low) * 2 - 1


@full_precision
def roi_loss(feat_s: Tensor,
             feat_t: Tensor,
             boxes: List[Tensor],
             point_cloud_range: Sequence[float],
             size: int = 7) -> Tensor:
    """Squared distance of maps on a grid in each box.

    Args:
        feat_s (Tensor): Student's map (B, C, H, W), rows along y and columns
            along x.
        feat_t (Tensor): Teacher's (B, C, H, W).
        boxes (list[Tensor]): Boxes of each frame; see :func:`roi_grid`.
        point_cloud_range (Sequence[float]): Range of the maps.
        size (int): Points along each side of a box. Defaults to 7.

    Returns:
        Tensor: Scalar, the mean over boxes, points and channels; 0 without
        boxes.
    """
    found = []
    for map_s, map_t, frame in zip(feat_s, feat_t.detach(), boxes):
        if len(frame):
            grid = roi_grid(
                send(frame, map_s.device).to(map_s.dtype), point_cloud_range,
                size)
            # Sampling is linear, so the difference is sampled once.
            found.append(
                F.grid_sample(
                    (map_s - map_t)[None],
                    grid.flatten(0, 1)[None],
                    align_corners=False).square().flatten())
    return torch.cat(found).mean() if found else zero_like_graph(feat_s)


@full_precision
def masked_feature_loss(feat_s: Tensor, feat_t: Tensor,
                        mask: Tensor) -> Tensor:
    """Squared distance of maps in the cells of objects, averaged by the mask.

    Args:
        feat_s (Tensor): Student's map (B, C, H, W).
        feat_t (Tensor): Teacher's (B, C, H, W).
        mask (Tensor): (B, H', W'), 0 to 1; resized if its size differs.

    Returns:
        Tensor: Scalar; 0 where the mask is empty.
    """
    if mask.shape[-2:] != feat_s.shape[-2:]:
        mask = F.adaptive_max_pool2d(mask, feat_s.shape[-2:])
    distance = masked_cells(feat_s - feat_t.detach(), mask).square()
    weight = masked_cells(mask[:, None], mask).squeeze(1)
    return (weight * distance.mean(1)).sum() / (weight.sum() + EPS)


@full_precision
def active_feature_loss(feat_s: Tensor,
                        feat_t: Tensor,
                        weight_active: float = 10.,
                        weight_rest: float = 20.) -> Tensor:
    """Squared distance, separately for positive and other teacher values.

    Wang et al., Sparse2Dense, NeurIPS 2022.

    Args:
        feat_s (Tensor): Student's map (B, C, H, W).
        feat_t (Tensor): Teacher's (B, C, H, W).
        weight_active (float): Weight of the mean over positive values.
            Defaults to 10.
        weight_rest (float): Weight of the mean over all others. Defaults to
            20.

    Returns:
        Tensor: Scalar.
    """
    feat_t = feat_t.detach()
    distance = (feat_s - feat_t).square()
    active = feat_t > 0
    total = distance.numel()
    count = active.sum()
    in_active = distance.masked_fill(~active, 0).sum()
    return (weight_active * in_active / count.clamp(min=1) + weight_rest *
            (distance.sum() - in_active) / (total - count).clamp(min=1))
