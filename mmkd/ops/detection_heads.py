"""Distances between the outputs of 3D detection heads, at objects.

Yang et al., Towards Efficient 3D Object Detection with Knowledge Distillation
(SparseKD), NeurIPS 2022.
"""
from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.constants import constant
from mmkd.ops.masks import masked_rows
from mmkd.ops.precision import full_precision

EPS = 1e-6
#: Place of the yaw in the code of an anchor.
YAW = 6


@full_precision
def pivotal_mask(logits_t: Tensor,
                 mask: Tensor,
                 threshold: float = 0.,
                 soft: bool = True) -> Tensor:
    """Weight the cells of objects by the teacher's confidence.

    A cell counts where its largest score is above the threshold.

    Args:
        logits_t (Tensor): Teacher's class logits (B, C, H, W).
        mask (Tensor): (B, H, W), 0 to 1: cells of objects.
        threshold (float): Minimum score. Defaults to 0.
        soft (bool): Whether the weight is ``mask`` times the score instead
            of 1. Defaults to True.

    Returns:
        Tensor: (B, H, W), 0 to 1, without gradient.
    """
    score = logits_t.detach().sigmoid().amax(1)
    counts = score > threshold
    if soft:
        return mask * score * counts
    return ((mask > 0) & counts).to(score)


@full_precision
def masked_score_loss(logits_s: Tensor,
                      logits_t: Tensor,
                      mask: Tensor,
                      eps: float = 0.) -> Tensor:
    """Squared distance of class scores in the cells of objects.

    The distance is summed over classes and averaged over cells by the mask:
    ``sum_p M_p sum_c (sigmoid(s_pc) - sigmoid(t_pc))^2 / sum_p M_p``. The
    student's scores are resized to the teacher's grid if it differs.

    Args:
        logits_s (Tensor): Student's logits (B, C, H', W').
        logits_t (Tensor): Teacher's logits (B, C, H, W).
        mask (Tensor): (B, H, W), 0 to 1.
        eps (float): Scores lie in [eps, 1 - eps]. Defaults to 0.

    Returns:
        Tensor: Scalar; 0 if the mask is empty.
    """
    weight = masked_cells(mask[:, None], mask).squeeze(1)
    if logits_s.shape[-2:] == logits_t.shape[-2:]:
        # Masked first, so that other cells do not even reach the sum.
        scores_s = masked_cells(logits_s, mask).sigmoid().clamp(eps, 1 - eps)
    else:
        scores_s = masked_cells(resized_scores(logits_s, logits_t, eps), mask)
    scores_t = masked_cells(logits_t.detach(),
                            mask).sigmoid().clamp(eps, 1 - eps)
    distance = (scores_s - scores_t).square().sum(1)
    return (weight * distance).sum() / (weight.sum() + EPS)


@full_precision
def resized_scores(logits: Tensor, like: Tensor, eps: float = 0.) -> Tensor:
    """Scores (B, C, H, W) of logits (B, C, H', W') on the grid of another
    map (..., H, W), within [eps, 1 - eps]."""
    scores = logits.sigmoid().clamp(eps, 1 - eps)
    if scores.shape[-2:] == like.shape[-2:]:
        return scores
    # Along each dimension of its own, also for a single class.
    return F.interpolate(scores, like.shape[-2:], mode='bilinear')


def masked_cells(maps: Tensor, mask: Tensor) -> Tensor:
    """Values (n, C) of maps (B, C, H, W) where the mask (B, H, W) is above
    0; see :func:`~mmkd.ops.masks.masked_rows`."""
    return masked_rows(
        maps.permute(0, 2, 3, 1).flatten(0, 2), (mask > 0).flatten())


@full_precision
def code_loss(codes_s: Tensor,
              codes_t: Tensor,
              weights: Optional[Sequence[float]] = None,
              smooth: bool = False,
              squared: bool = False,
              count: Optional[Tensor] = None) -> Tensor:
    """Difference of box codes, absolute or squared, summed over the code.

    Args:
        codes_s (Tensor): Student's codes of n objects (n, R).
        codes_t (Tensor): Teacher's (n, R).
        weights (Sequence[float], optional): (R, ). Defaults to None: 1.
        smooth (bool): Smooth L1 instead of L1. Defaults to False.
        squared (bool): The square instead of both. Defaults to False.
        count (Tensor, optional): Number of objects, if the codes of both are
            padded with equal rows. Defaults to None: n.

    Returns:
        Tensor: Scalar, the mean over objects; 0 without objects.
    """
    measure = F.mse_loss if squared else (
        F.smooth_l1_loss if smooth else F.l1_loss)
    distance = measure(codes_s, codes_t.detach(), reduction='none')
    if weights is not None:
        distance = distance * constant(weights, distance)
    if count is None:
        return distance.sum() / max(len(codes_s), 1)
    return distance.sum() / count.clamp(min=1)


@full_precision
def anchor_code_distance(codes_s: Tensor, codes_t: Tensor,
                         beta: float) -> Tensor:
    """Smooth L1 of the box codes of anchors; for the yaw, of the sine of the
    difference.

    Args:
        codes_s (Tensor): Student's codes (..., R), the yaw in radians at
            index 6.
        codes_t (Tensor): Teacher's, of the same shape; no gradient.
        beta (float): Difference below which it is quadratic.

    Returns:
        Tensor: (..., R).
    """
    gap = codes_s - codes_t.detach()
    gap = torch.cat(
        [gap[..., :YAW], gap[..., YAW:YAW + 1].sin(), gap[..., YAW + 1:]], -1)
    return F.smooth_l1_loss(
        gap, torch.zeros_like(gap), reduction='none', beta=beta)
