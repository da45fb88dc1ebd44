"""Pixel-wise divergence of class probabilities."""
from typing import Optional, Tuple

import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.distances import check_features
from mmkd.ops.masks import mean_over_valid, valid_cells
from mmkd.ops.precision import full_precision


def check_logits(logits_s: Tensor, logits_t: Tensor, tau: float) -> None:
    """Raise an error unless two logit maps match and tau is positive.

    Args:
        logits_s (Tensor): Student's logits (N, C, H, W).
        logits_t (Tensor): Teacher's logits (N, C, H, W).
        tau (float): Temperature.
    """
    check_features(logits_s, logits_t)
    if not tau > 0:
        raise ValueError(f'tau must be positive, but got {tau}')


def comparable_logits(
        logits_s: Tensor, logits_t: Tensor, tau: float,
        valid: Optional[Tensor]) -> Tuple[Tensor, Tensor, Optional[Tensor]]:
    """Check two logit maps, and make their excluded cells finite and equal.

    Args:
        logits_s (Tensor): Student's logits (N, C, H, W).
        logits_t (Tensor): Teacher's logits (N, C, H, W).
        tau (float): Temperature.
        valid (Tensor, optional): Cells to include, (N, 1, H, W) or
            (N, H, W). None means all.

    Returns:
        tuple: The student's logits, the teacher's without gradient, both 0 in
        excluded cells; and the valid cells (N, 1, H, W) in bool, or None.
    """
    check_logits(logits_s, logits_t, tau)
    logits_t = logits_t.detach()
    valid = valid_cells(valid, logits_s)
    if valid is not None:
        logits_s = logits_s.masked_fill(~valid, 0)
        logits_t = logits_t.masked_fill(~valid, 0)
    return logits_s, logits_t, valid


def class_divergence(logits_s: Tensor, logits_t: Tensor, tau: float) -> Tensor:
    """KL divergence over classes at each cell, times tau squared.

    Args:
        logits_s (Tensor): Student's logits (N, C, H, W).
        logits_t (Tensor): Teacher's logits (N, C, H, W).
        tau (float): Temperature.

    Returns:
        Tensor: One number per cell, (N, 1, H, W).
    """
    log_prob_s = F.log_softmax(logits_s / tau, dim=1)
    log_prob_t = F.log_softmax(logits_t / tau, dim=1)
    divergence = log_prob_t.exp() * (log_prob_t - log_prob_s)
    return tau**2 * divergence.sum(dim=1, keepdim=True)


@full_precision
def kl_divergence(logits_s: Tensor,
                  logits_t: Tensor,
                  tau: float = 1.0,
                  valid: Optional[Tensor] = None) -> Tensor:
    r"""Pixel-wise knowledge distillation of logits.

    `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_, applied to every cell i of a logit
    map:

    .. math::
        L = \tau^2 \, \mathrm{mean}_i \sum_c p^T_{ic}
            (\log p^T_{ic} - \log p^S_{ic}), \quad
        p_i = \mathrm{softmax}_c(z_i / \tau)

    Summed over classes, averaged over the valid cells of each image, then
    over the images; an image without a valid cell counts as 0.

    Args:
        logits_s (Tensor): Student's logits (N, C, H, W).
        logits_t (Tensor): Teacher's logits (N, C, H, W); no gradient.
        tau (float): Temperature. Defaults to 1.0.
        valid (Tensor, optional): Cells to include, (N, 1, H, W) or
            (N, H, W). Defaults to None, which means all.

    Returns:
        Tensor: Scalar loss.
    """
    logits_s, logits_t, valid = comparable_logits(logits_s, logits_t, tau,
                                                  valid)
    return mean_over_valid(class_divergence(logits_s, logits_t, tau), valid)
