"""Learnable masks over cells and channels, and losses under them (ACAM-KD).
"""
from typing import Dict

import torch
from torch import Tensor

from mmkd.ops.distances import check_features
from mmkd.ops.masks import dice_similarity, zero_like_graph
from mmkd.ops.precision import full_precision

#: Keeps quotients finite for empty masks.
EPS = 1e-6


@full_precision
def standardise(feat: Tensor, dim: int, eps: float = 1e-8) -> Tensor:
    """Zero mean and unit variance along a dimension.

    Args:
        feat (Tensor): Tensor of any shape.
        dim (int): The dimension.
        eps (float): Added to the variance. Defaults to 1e-8.

    Returns:
        Tensor: Of the same shape; zeros for constant values.
    """
    feat = feat - feat.mean(dim, keepdim=True)
    return feat * (feat.square().mean(dim, keepdim=True) + eps).rsqrt()


@full_precision
def spatial_masks(feat: Tensor,
                  units: Tensor,
                  standardised: bool = False) -> Tensor:
    r"""Masks over the cells, one per selection unit.

    .. math::
        M^s_m = \sigma(\sum_k u_{mk} Z_k)

    Args:
        feat (Tensor): Fused features Z (N, C, H, W).
        units (Tensor): Selection units u (M, C).
        standardised (bool): Whether each channel of an image is standardised
            over the cells first. Defaults to False.

    Returns:
        Tensor: Masks (N, M, H, W) in [0, 1].
    """
    flat = feat.flatten(2)
    if standardised:
        flat = standardise(flat, dim=2)
    masks = torch.sigmoid(units @ flat)
    return masks.reshape(*masks.shape[:2], *feat.shape[2:])


@full_precision
def channel_masks(feat: Tensor,
                  units: Tensor,
                  standardised: bool = False) -> Tensor:
    r"""Masks over the channels, one per selection unit.

    .. math::
        M^c_m = \sigma(u_m v), \quad v = \mathrm{mean}_p Z_p

    Args:
        feat (Tensor): Fused features Z (N, C, H, W).
        units (Tensor): Selection units u, (M, 1) as published or (M, C).
        standardised (bool): Whether v is standardised over the channels
            first. Defaults to False.

    Returns:
        Tensor: Masks (N, M, C) in [0, 1].
    """
    pooled = feat.flatten(2).mean(dim=2)
    if standardised:
        pooled = standardise(pooled, dim=1)
    return torch.sigmoid(units * pooled.unsqueeze(1))


def _masked_distance(energy: Tensor, masks: Tensor, others: int) -> Tensor:
    """Mean over images and units of <M^2, energy> / (others * sum M + eps).

    Args:
        energy (Tensor): Squared differences, summed over the dimension without
            masks, (N, L).
        masks (Tensor): Masks (N, M, L).
        others (int): Size of the summed dimension.
    """
    weighted = torch.einsum('nml,nl->nm', masks.square(), energy)
    return (weighted / (others * masks.sum(dim=2) + EPS)).mean()


@full_precision
def spatial_mask_loss(feat_s: Tensor, feat_t: Tensor, masks: Tensor) -> Tensor:
    r"""Squared difference of two maps under masks over the cells.

    `ACAM-KD <https://arxiv.org/abs/2503.06307>`_ (ICCV 2025), the spatial
    distillation loss. With D = F_T - F_S of shape C x P:

    .. math::
        L_s = \frac{1}{M} \sum_m \frac{\sum_{kp} (M^s_{mp} D_{kp})^2}
            {C \sum_p M^s_{mp} + \epsilon}

    averaged over the images. The squares are summed over the channels before
    masking, so no tensor of size M x C x P is created.

    Args:
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's map of the same shape; no gradient.
        masks (Tensor): Masks (N, M, H, W) in [0, 1].

    Returns:
        Tensor: Scalar loss; a * mean(D^2) for masks that are a everywhere.
    """
    check_features(feat_s, feat_t)
    energy = (feat_t.detach() - feat_s).square().sum(dim=1)
    return _masked_distance(
        energy.flatten(1), masks.flatten(2), feat_s.size(1))


@full_precision
def channel_mask_loss(feat_s: Tensor, feat_t: Tensor, masks: Tensor) -> Tensor:
    r"""Squared difference of two maps under masks over the channels.

    `ACAM-KD <https://arxiv.org/abs/2503.06307>`_ (ICCV 2025), the channel
    distillation loss. With D = F_T - F_S of shape C x P:

    .. math::
        L_c = \frac{1}{M} \sum_m \frac{\sum_{kp} (M^c_{mk} D_{kp})^2}
            {P \sum_k M^c_{mk} + \epsilon}

    averaged over the images.

    Args:
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's map of the same shape; no gradient.
        masks (Tensor): Masks (N, M, C) in [0, 1].

    Returns:
        Tensor: Scalar loss; a * mean(D^2) for masks that are a everywhere.
    """
    check_features(feat_s, feat_t)
    energy = (feat_t.detach() - feat_s).square().sum(dim=(2, 3))
    return _masked_distance(energy, masks, feat_s[0, 0].numel())


@full_precision
def mask_diversity(masks: Tensor, reduction: str = 'pairwise_mean') -> Tensor:
    r"""Overlap of the masks of an image: a Dice coefficient to minimise.

    ``'pairwise_mean'`` is the mean over ordered pairs, in [0, 1], as in
    MasKD and FreeKD (:func:`dice_similarity`); ``'ratio'`` is one quotient of
    sums, in [0, M - 1], as reported for `ACAM-KD
    <https://arxiv.org/abs/2503.06307>`_:

    .. math::
        \mathrm{mean}_{i \ne j} \frac{2 \langle M_i, M_j \rangle}
            {|M_i|^2 + |M_j|^2} \quad \textrm{or} \quad
        \frac{2 \sum_i \sum_{j \ne i} \langle M_i, M_j \rangle}
            {\sum_i |M_i|^2 + \sum_j |M_j|^2}

    averaged over the images.

    Args:
        masks (Tensor): Masks (N, M, ...).
        reduction (str): One of the two. Defaults to ``'pairwise_mean'``.

    Returns:
        Tensor: Scalar; a 0 attached to the graph if there is only one mask.
    """
    if reduction not in ('pairwise_mean', 'ratio'):
        raise ValueError("reduction is 'pairwise_mean' or 'ratio', but got "
                         f'{reduction!r}')
    if masks.size(1) < 2:
        return zero_like_graph(masks)
    if reduction == 'pairwise_mean':
        return dice_similarity(masks, EPS)
    masks = masks.flatten(2)
    products = masks @ masks.transpose(1, 2)
    norms = products.diagonal(dim1=1, dim2=2).sum(dim=1)
    others = products.sum(dim=(1, 2)) - norms
    return (others / norms.clamp(min=EPS)).mean()


@torch.no_grad()
@full_precision
def mask_statistics(masks: Tensor, margin: float = 0.02) -> Dict[str, Tensor]:
    """Statistics that show whether masks still select anything.

    Args:
        masks (Tensor): Masks (N, M, ...).
        margin (float): A unit is dead if its mean over an image is within this
            distance of 0 or 1. Defaults to 0.02.

    Returns:
        dict[str, Tensor]: ``mean``; ``std``, the standard deviation within
        a mask, averaged over the units and images; ``dead``, the fraction of
        dead units in [0, 1].
    """
    masks = masks.flatten(2)
    means = masks.mean(dim=2)
    dead = (means < margin) | (means > 1 - margin)
    return dict(
        mean=means.mean(),
        std=masks.std(dim=2, correction=0).mean(),
        dead=dead.to(means.dtype).mean())
