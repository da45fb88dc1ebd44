"""The Pearson-correlation loss of PKD."""
import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.masks import zero_like_graph
from mmkd.ops.precision import full_precision

_EPS = 1e-6


def standardise(feat: Tensor, min_std: float = 1e-6) -> Tensor:
    """Standardise each channel over the batch.

    Args:
        feat (Tensor): Features (N, C, H, W) with more than one position.
        min_std (float): Channels whose standard deviation is at most this
            become a constant 0 without gradient. 0 disables this, as in the
            released code. Defaults to 1e-6.

    Returns:
        Tensor: Features (N, C, H, W).
    """
    std, mean = torch.std_mean(feat, dim=(0, 2, 3), keepdim=True)
    centred, scale = feat - mean, std + _EPS
    if min_std <= 0:
        return centred / scale
    # A finite number divided by infinity is 0, and so is its gradient.
    return centred / scale.masked_fill(std <= min_std, torch.inf)


@full_precision
def pearson_loss(feat_s: Tensor,
                 feat_t: Tensor,
                 min_std: float = 1e-6) -> Tensor:
    """Half the mean squared difference of standardised channels.

    For M positions in the batch, this is (M - 1) / M times the mean of 1 - r
    over the channels, where r is their Pearson correlation.

    Args:
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's map (N, C, H, W).
        min_std (float): See :func:`standardise`; for the student only.
            Defaults to 1e-6.

    Returns:
        Tensor: Scalar between 0 and 2; a 0 attached to the graph for a single
        position, which has no standard deviation.
    """
    if feat_s[:, :1].numel() < 2:
        return zero_like_graph(feat_s)
    with torch.no_grad():
        target = standardise(feat_t, 0)
    difference = standardise(feat_s, min_std).sub_(target)
    # Its backward pass reads the difference once, and keeps no other map.
    zero = difference.new_zeros(()).expand_as(difference)
    return F.mse_loss(difference, zero) / 2
