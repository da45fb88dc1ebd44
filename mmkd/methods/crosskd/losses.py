"""Transfer of statistics, and losses of CrossKD."""
from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.masks import zero_like_graph
from mmkd.ops.precision import full_precision

_EPS = 1e-6


@full_precision
def transfer_statistics(feat_s: Tensor,
                        feat_t: Tensor,
                        min_std: float = 1e-6) -> Tensor:
    """Give the student's channels the mean and deviation of the teacher's.

    `CrossKD <https://arxiv.org/abs/2306.11369>`_, over the positions of the
    local batch, with the unbiased deviation:

    .. math::
        a = (s - mean_s) / (std_s + 10^{-6}) \\, std_t + mean_t

    Args:
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's map (N, C, H', W'); no gradient.
        min_std (float): Student's channels whose deviation is at most this
            become the teacher's mean, without gradient. 0 disables this, as
            in the released code. Defaults to 1e-6.

    Returns:
        Tensor: (N, C, H, W). A single position, which has no deviation, is
        such a channel.
    """
    positions = (0, 2, 3)
    mean_t = feat_t.detach().mean(positions, keepdim=True)
    if feat_s[:, :1].numel() < 2:
        return mean_t + zero_like_graph(feat_s)
    std_t = feat_t.detach().std(positions, keepdim=True)
    std_s, mean_s = torch.std_mean(feat_s, positions, keepdim=True)
    scale = std_s + _EPS
    if min_std > 0:
        # A finite number divided by infinity is 0, and so is its gradient.
        scale = scale.masked_fill(std_s <= min_std, torch.inf)
    return (feat_s - mean_s) / scale * std_t + mean_t


@full_precision
def class_distance(logits_x: Tensor,
                   logits_t: Tensor,
                   beta: float = 1.0) -> Tensor:
    """Binary cross entropy times the distance of the probabilities.

    It equals mmdet's ``QualityFocalLoss`` with a tensor as target, whose
    indexing makes the host wait. The factor carries gradient as well.

    Args:
        logits_x (Tensor): Cross predictions (n, K).
        logits_t (Tensor): The teacher's (n, K); no gradient.
        beta (float): Power of the distance, 0 or at least 1. Defaults to
            1.0.

    Returns:
        Tensor: (n, K).
    """
    target = logits_t.detach().sigmoid()
    distance = (logits_x.sigmoid() - target).abs()
    entropy = F.binary_cross_entropy_with_logits(
        logits_x, target, reduction='none')
    return entropy * (distance if beta == 1 else distance.pow(beta))


@full_precision
def edge_divergence(box_x: Tensor, box_t: Tensor, bins: int) -> Tensor:
    """KL divergence of the distributions of the edges, summed over the bins.

    Args:
        box_x (Tensor): Cross predictions (n, 4 * bins), logits.
        box_t (Tensor): The teacher's; no gradient.
        bins (int): Bins of an edge.

    Returns:
        Tensor: (n, ), the sum over the four edges.
    """
    log_x, log_t = (
        F.log_softmax(x.reshape(len(x), 4, bins), dim=-1)
        for x in (box_x, box_t.detach()))
    divergence = F.kl_div(log_x, log_t, reduction='none', log_target=True)
    # Rounding can bring a divergence of nearly equal numbers below 0.
    return divergence.sum(2).clamp(min=0).sum(1)


@full_precision
def box_distance(boxes_x: Tensor, boxes_t: Tensor, log_iou: bool) -> Tensor:
    """Distance of boxes ``(x1, y1, x2, y2)``.

    Args:
        boxes_x (Tensor): Cross predictions (n, 4).
        boxes_t (Tensor): The teacher's; no gradient.
        log_iou (bool): Whether it is ``-ln IoU`` (FCOS), else ``1 - GIoU``.

    Returns:
        Tensor: (n, ).
    """
    from mmdet.models.losses.iou_loss import giou_loss, iou_loss
    loss = iou_loss if log_iou else giou_loss
    return loss(boxes_x, boxes_t.detach(), reduction='none')


def distribution_loss(distances: Sequence[Tensor],
                      confidences: Sequence[Tensor]) -> Tensor:
    """Mean over the edges, weighted by the confidence of the rows.

    Args:
        distances (Sequence[Tensor]): :func:`edge_divergence` (n, ) of each
            level.
        confidences (Sequence[Tensor]): Weight of each row (n, ), likewise.

    Returns:
        Tensor: Scalar; 0 if all confidences are.
    """
    total = sum((x * w).sum() for x, w in zip(distances, confidences))
    return total / (4 * sum(w.sum() for w in confidences).clamp(min=1e-6))
