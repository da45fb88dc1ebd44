"""Masks of receptive tokens, and losses on them."""
from typing import Optional

import torch
from torch import Tensor

from mmkd.ops.precision import full_precision

#: Smallest mass of a mask, as products of masks can underflow.
MIN_MASS = 1e-5


@full_precision
def token_masks(feat: Tensor, tokens: Tensor) -> Tensor:
    """Sigmoid of the dot product of each token and each cell.

    Args:
        feat (Tensor): (N, C, H, W).
        tokens (Tensor): (n, C).

    Returns:
        Tensor: (N, n, H, W), from 0 to 1.
    """
    return torch.einsum('bchw,kc->bkhw', feat, tokens).sigmoid()


@full_precision
def masked_distance(feat_s: Tensor,
                    feat_t: Tensor,
                    masks: Tensor,
                    weights: Optional[Tensor] = None) -> Tensor:
    """Squared distance in each mask, relative to its mass.

    The mask multiplies both maps, so its square weighs the distance:
    ``sum_p m_p^2 d_p / sum_p m_p`` with the mean ``d_p`` over the channels.

    Args:
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's map (N, C, H, W).
        masks (Tensor): (N, n, H, W).
        weights (Tensor, optional): Weight of each mask (N, n). Defaults to
            None: 1/n.

    Returns:
        Tensor: Scalar, the mean over the images.
    """
    gaps = (feat_s - feat_t).square().mean(1)
    mass = masks.sum((2, 3)).clamp(min=MIN_MASS)
    found = torch.einsum('bkhw,bhw->bk', masks.square(), gaps) / mass
    return found.mean() if weights is None else (weights * found).sum(1).mean()
