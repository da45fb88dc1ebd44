"""The loss of FeatureKD."""
from typing import Optional

import torch.nn.functional as F
from torch import Tensor
from torch.linalg import vecdot

from mmkd.ops.masks import mean_over_valid
from mmkd.ops.precision import full_precision

#: Below, a vector counts as zero: its cosine has no direction.
_EPS = 1e-8


@full_precision
def feature_loss(feat_s: Tensor,
                 feat_t: Tensor,
                 valid: Optional[Tensor] = None,
                 cosine: float = 0.9,
                 smooth_l1: float = 0.1,
                 mse: float = 0.,
                 whole: bool = False) -> Tensor:
    r"""Distance of the vectors of the cells of two maps.

    .. math::
        w_1 (1 - \cos(s, t)) + w_2 \, \mathrm{smoothL1}(s, t) + w_3 |s - t|^2

    Smooth L1 has the threshold 1; it and the square are means over the
    channels.

    Args:
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's map (N, C, H, W).
        valid (Tensor, optional): Bool map of the cells to count,
            (N, 1, H, W). Defaults to None: all.
        cosine (float): :math:`w_1`. Defaults to 0.9.
        smooth_l1 (float): :math:`w_2`. Defaults to 0.1.
        mse (float): :math:`w_3`. Defaults to 0.
        whole (bool): Whether the cosine is that of the whole maps of an
            image, instead of each cell. Defaults to False.

    Returns:
        Tensor: Scalar, the mean over the cells of an image, then over the
        images.
    """
    cells = feat_s.new_zeros(())
    if cosine:
        if whole:
            both = [
                feat if valid is None else feat.masked_fill(~valid, 0)
                for feat in (feat_s, feat_t)
            ]
            near = F.cosine_similarity(
                both[0].flatten(1), both[1].flatten(1), eps=_EPS)
            near = near[:, None, None].expand_as(feat_s[:, 0])
        else:
            near = _cosines(feat_s, feat_t)
        # Rounding can give more than 1.
        cells = cells + cosine * (1 - near.unsqueeze(1)).clamp(min=0)
    if smooth_l1:
        cells = cells + smooth_l1 * _smooth_l1(feat_s, feat_t)
    if mse:
        cells = cells + mse * (feat_s - feat_t).square().mean(1, True)
    return mean_over_valid(cells, valid)


# Torch's own functions take two to three times as long in channels_last.


def _cosines(feat_s: Tensor, feat_t: Tensor) -> Tensor:
    """Cosine of the vectors of each cell, (N, H, W)."""
    squares = [
        vecdot(feat, feat, dim=1).clamp(min=_EPS**2)
        for feat in (feat_s, feat_t)
    ]
    # The root of their product would lose large and small vectors.
    return vecdot(
        feat_s, feat_t, dim=1) * squares[0].rsqrt() * squares[1].rsqrt()


def _smooth_l1(feat_s: Tensor, feat_t: Tensor) -> Tensor:
    """Smooth L1 of each cell, the mean over the channels, (N, 1, H, W)."""
    error = feat_s - feat_t
    # The derivative of smooth L1; both branches are
    # (error - slope / 2) * slope.
    slope = error.detach().clamp(-1, 1)
    return vecdot(error - slope / 2, slope, dim=1)[:, None] / feat_s.shape[1]
