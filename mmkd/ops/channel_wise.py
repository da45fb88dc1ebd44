"""Channel-wise divergence of spatial distributions (CWD)."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.divergences import check_logits
from mmkd.ops.masks import valid_cells
from mmkd.ops.precision import full_precision


def spatial_log_softmax(logits: Tensor,
                        tau: float,
                        valid: Optional[Tensor] = None) -> Tensor:
    """Log of each channel's distribution over the cells of its image.

    Args:
        logits (Tensor): Activations (N, C, H, W).
        tau (float): Temperature.
        valid (Tensor, optional): Bool map (N, 1, H, W) of the cells with
            probability mass. Defaults to None, which means all.

    Returns:
        Tensor: Log probabilities (N, C, H * W), -inf in invalid cells. An
        image without a valid cell is uniform, which avoids NaN.
    """
    logits = logits / tau
    if valid is not None:
        # Uniform if no cell is valid, otherwise no mass on invalid cells.
        some = valid.flatten(1).any(dim=1).view(-1, 1, 1, 1)
        fill = torch.zeros_like(some, dtype=logits.dtype)
        fill = fill.masked_fill(some, float('-inf'))
        logits = torch.where(valid, logits, fill)
    return F.log_softmax(logits.flatten(2), dim=2)


@full_precision
def channel_wise_divergence(logits_s: Tensor,
                            logits_t: Tensor,
                            tau: float = 1.0,
                            valid: Optional[Tensor] = None) -> Tensor:
    r"""Channel-wise knowledge distillation.

    `Channel-wise Knowledge Distillation for Dense Prediction
    <https://arxiv.org/abs/2011.13256>`_ (ICCV 2021). Each channel c of image
    b, a class or a feature, is a distribution over the cells i:

    .. math::
        L = \frac{\tau^2}{B C} \sum_b \sum_c \sum_i P_{bci}
            (\log P_{bci} - \log Q_{bci}), \quad
        P_{bc} = \mathrm{softmax}_i(z^T_{bci} / \tau), \quad
        Q_{bc} = \mathrm{softmax}_i(z^S_{bci} / \tau)

    Summed over cells, averaged over channels and images; an image without a
    valid cell counts as 0.

    Args:
        logits_s (Tensor): Student's logits or features (N, C, H, W).
        logits_t (Tensor): Teacher's, of the same shape; no gradient.
        tau (float): Temperature. Defaults to 1.0.
        valid (Tensor, optional): Cells with probability mass, (N, 1, H, W) or
            (N, H, W). Defaults to None, which means all, as in the paper.

    Returns:
        Tensor: Scalar loss.
    """
    check_logits(logits_s, logits_t, tau)
    valid = valid_cells(valid, logits_s)
    log_prob_s = spatial_log_softmax(logits_s, tau, valid)
    log_prob_t = spatial_log_softmax(logits_t.detach(), tau, valid)
    gap = log_prob_t - log_prob_s
    if valid is not None:
        gap = gap.masked_fill(~valid.flatten(2), 0)
    divergence = (log_prob_t.exp() * gap).sum()
    num_images, num_channels = logits_s.shape[:2]
    return tau**2 / (num_images * num_channels) * divergence
