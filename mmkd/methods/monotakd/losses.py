"""Residual features and soft labels of 3D heads, of MonoTAKD.

`MonoTAKD: Teaching Assistant Knowledge Distillation for Monocular 3D Object
Detection <https://arxiv.org/abs/2404.04910>`_ (Liu et al., CVPR 2025); the
soft labels are those of CMKD (Hong et al., ECCV 2022), which it builds on.
Maps in bird's-eye view are (B, C, H=y, W=x).
"""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.detection_heads import anchor_code_distance
from mmkd.ops.precision import full_precision


@torch.no_grad()
@full_precision
def residual_target(feat_t: Tensor,
                    feat_a: Tensor,
                    keep_ratio: float = .6,
                    per_batch: bool = False,
                    signed: bool = False,
                    binary: bool = False) -> Tensor:
    """The largest differences between teacher and assistant.

    Args:
        feat_t (Tensor): Teacher's map (B, C, H, W).
        feat_a (Tensor): Assistant's map, of the same shape.
        keep_ratio (float): Entries whose absolute value is below this fraction
            of the maximum become 0; 0 keeps all. Defaults to 0.6, as in the
            released code.
        per_batch (bool): Whether the maximum is over the batch, as in the
            released code, instead of the sample. Defaults to False.
        signed (bool): Whether to keep signs, which the output of a ReLU
            cannot match. Defaults to False: absolute values.
        binary (bool): Whether to set the kept entries to 1 (or -1), as in
            the paper. Defaults to False.

    Returns:
        Tensor: (B, C, H, W), without gradient.

    Raises:
        ValueError: If the maps differ in shape.
    """
    if feat_t.shape != feat_a.shape:
        raise ValueError('teacher and assistant must have maps of one shape, '
                         f'but got {tuple(feat_t.shape)} and '
                         f'{tuple(feat_a.shape)}')
    gap = feat_t - feat_a
    size = gap.abs()
    largest = size.amax() if per_batch else size.amax((1, 2, 3), True)
    kept = size >= keep_ratio * largest
    gap = gap if signed else size
    return (gap.sign() if binary else gap) * kept


@full_precision
def min_max(feat: Tensor, eps: float = 1e-6) -> Tensor:
    """Scale a map to between 0 and 1 by the extrema of the batch.

    The released code does so with the assistant's map and the student's
    visual branch, and detaches them; here, gradients flow.

    Args:
        feat (Tensor): (B, C, H, W).
        eps (float): Minimum difference of the extrema, so that a constant map
            is 0. Defaults to 1e-6.

    Returns:
        Tensor: Of the same shape.
    """
    low, high = feat.amin(), feat.amax()
    return (feat - low) / (high - low).clamp(min=eps)


@full_precision
def map_distance(feat_s: Tensor,
                 target: Tensor,
                 weight: Optional[Tensor] = None) -> Tensor:
    """Mean squared difference of two maps.

    Args:
        feat_s (Tensor): Student's map (B, C, H, W).
        target (Tensor): Of the same shape; gets no gradient.
        weight (Tensor, optional): Weight of samples or cells, (B, 1, 1, 1) or
            (B, 1, H, W). Defaults to None: 1 each.

    Returns:
        Tensor: Scalar, the weighted mean; 0 if all weights are 0.

    Raises:
        ValueError: If the maps differ in shape.
    """
    if feat_s.shape != target.shape:
        raise ValueError('the student\'s map and its target must have one '
                         f'shape, but got {tuple(feat_s.shape)} and '
                         f'{tuple(target.shape)}')
    gap = (feat_s - target.detach())**2
    if weight is None:
        return gap.mean()
    weight = weight.to(gap).expand_as(gap[:, :1])
    return (weight * gap).sum() / (weight.sum().clamp(min=1e-6) * gap.size(1))


@full_precision
def soft_class_distance(logits_s: Tensor,
                        logits_t: Tensor,
                        min_score: float = .1,
                        batch_sum: bool = False) -> Tensor:
    """Quality focal loss of anchors against the teacher's probabilities.

    Args:
        logits_s (Tensor): Student's class logits (B, N, C) of N anchors.
        logits_t (Tensor): Teacher's, of the same anchors.
        min_score (float): The sum over a class is divided by the number of
            anchors of the image with a teacher score above this. Defaults to
            0.1.
        batch_sum (bool): Whether images are summed, as in the released code,
            instead of averaged. Defaults to False.

    Returns:
        Tensor: Scalar; exactly 0 for equal logits.
    """
    soft = logits_t.detach().sigmoid()
    count = (soft > min_score).sum(1, keepdim=True).clamp(min=1)
    entropy = F.binary_cross_entropy_with_logits(
        logits_s, soft, reduction='none')
    total = (entropy * (logits_s.sigmoid() - soft)**2 / count).sum()
    return total if batch_sum else total / logits_s.size(0)


@torch.no_grad()
@full_precision
def soft_anchor_weights(logits_t: Tensor, min_score: float = .1) -> Tensor:
    """Weight of the box of each anchor.

    Args:
        logits_t (Tensor): Teacher's class logits (B, N, C).
        min_score (float): Anchors whose probabilities sum to at most this do
            not count. Defaults to 0.1.

    Returns:
        Tensor: (B, N): the sum of the probabilities, divided by the number
        of anchors of the image that count.
    """
    weight = logits_t.sigmoid().sum(2)
    counts = weight > min_score
    return weight * counts / counts.sum(1, keepdim=True).clamp(min=1)


@full_precision
def soft_box_distance(codes_s: Tensor,
                      codes_t: Tensor,
                      weights: Tensor,
                      beta: float = 1 / 9) -> Tensor:
    """Distance of the box codes of anchors (:func:`anchor_code_distance`).

    Args:
        codes_s (Tensor): Student's codes (B, N, >=7); the seventh is the
            yaw in radians.
        codes_t (Tensor): Teacher's codes.
        weights (Tensor): (B, N), see :func:`soft_anchor_weights`.
        beta (float): Threshold between square and absolute value. Defaults to
            1/9.

    Returns:
        Tensor: Scalar, a mean over the images.
    """
    size = anchor_code_distance(codes_s, codes_t, beta)
    return (size.sum(2) * weights).sum() / codes_s.size(0)


@full_precision
def soft_direction_distance(logits_s: Tensor, logits_t: Tensor,
                            weights: Tensor) -> Tensor:
    """Cross entropy between the directions of anchors and the teacher's
    predicted directions.

    Args:
        logits_s (Tensor): Student's direction logits (B, N, 2).
        logits_t (Tensor): Teacher's.
        weights (Tensor): (B, N), of :func:`soft_anchor_weights`.

    Returns:
        Tensor: Scalar, a mean over the images.
    """
    entropy = F.cross_entropy(
        logits_s.transpose(1, 2), logits_t.argmax(2), reduction='none')
    return (entropy * weights).sum() / logits_s.size(0)


@full_precision
def center_class_distance(logits_s: Tensor,
                          logits_t: Tensor,
                          min_score: float = .3,
                          eps: float = 1e-4) -> Tensor:
    """Quality focal loss of a heat map against the teacher's.

    Args:
        logits_s (Tensor): Student's heat map before the sigmoid, (B, C, H,
            W).
        logits_t (Tensor): Teacher's.
        min_score (float): The sum is divided by the number of entries above
            this in the teacher's map. Defaults to 0.3.
        eps (float): The student's probabilities lie in [eps, 1 - eps].
            Defaults to 1e-4.

    Returns:
        Tensor: Scalar.
    """
    soft = logits_t.detach().sigmoid()
    score = logits_s.sigmoid().clamp(eps, 1 - eps)
    entropy = F.binary_cross_entropy(score, soft, reduction='none')
    count = (soft > min_score).sum().clamp(min=1)
    return (entropy * (score - soft)**2).sum() / count


@full_precision
def center_box_distance(reg_s: Tensor,
                        reg_t: Tensor,
                        logits_t: Tensor,
                        min_score: float = .1) -> Tensor:
    """Smooth L1 of the regressions of a heat map's cells.

    Args:
        reg_s (Tensor): Student's regressions (B, R, H, W).
        reg_t (Tensor): Teacher's.
        logits_t (Tensor): Teacher's heat map before the sigmoid, (B, C, H,
            W): a cell is weighted by the sum of its probabilities, and does
            not count unless that is above ``min_score``.
        min_score (float): Defaults to 0.1.

    Returns:
        Tensor: Scalar: summed over R, averaged over the cells that count; 0
        without any.
    """
    weight = logits_t.detach().sigmoid().sum(1)
    counts = weight > min_score
    size = F.smooth_l1_loss(reg_s, reg_t.detach(), reduction='none').sum(1)
    return (size * weight * counts).sum() / counts.sum().clamp(min=1)
