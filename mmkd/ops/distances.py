"""Distances between feature maps."""
from typing import Sequence

import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.precision import full_precision


def check_features(feat_s: Tensor, feat_t: Tensor) -> None:
    """Raise an error unless two maps have the same shape (N, C, H, W).

    Args:
        feat_s (Tensor): Student's features.
        feat_t (Tensor): Teacher's features.
    """
    if feat_s.shape != feat_t.shape or feat_s.dim() != 4:
        raise ValueError(
            'student and teacher must have one shape (N, C, H, W), but got '
            f'{tuple(feat_s.shape)} and {tuple(feat_t.shape)}')


@full_precision
def squared_distance(feat_s: Tensor,
                     feat_t: Tensor,
                     reduction: str = 'sum_per_image') -> Tensor:
    """Squared distance between two feature maps.

    Args:
        feat_s (Tensor): Student's features (N, C, H, W).
        feat_t (Tensor): Teacher's, of the same shape. Gradients flow to
            both inputs.
        reduction (str): ``'sum_per_image'`` sums over channels and cells and
            averages over the images; ``'mean'`` averages over everything.
            Defaults to ``'sum_per_image'``.

    Returns:
        Tensor: Scalar loss.
    """
    check_features(feat_s, feat_t)
    if reduction == 'mean':
        return F.mse_loss(feat_s, feat_t)
    if reduction != 'sum_per_image':
        raise ValueError("reduction is 'sum_per_image' or 'mean', but got "
                         f'{reduction!r}')
    return F.mse_loss(feat_s, feat_t, reduction='sum') / len(feat_s)


@full_precision
def hierarchical_context_loss(
    feat_s: Tensor, feat_t: Tensor,
    levels: Sequence[int] = (4, 2, 1)) -> Tensor:
    r"""Squared difference of two maps and of their averages over grids.

    The hierarchical context loss of `Distilling Knowledge via Knowledge
    Review <https://arxiv.org/abs/2104.09044>`_ (ReviewKD, CVPR 2021), also
    used by `TransKD <https://arxiv.org/abs/2202.13393>`_. With
    :math:`\mathrm{pool}_l`, the averages over a grid of l x l cells, and the
    levels smaller than the height of the map,

    .. math::
        L = \frac{\mathrm{MSE}(S, T) + \sum_k 2^{-k} \,
            \mathrm{MSE}(\mathrm{pool}_{l_k}(S), \mathrm{pool}_{l_k}(T))}
            {1 + \sum_k 2^{-k}}, \quad k = 1, 2, \dots

    The differences are averaged over images, channels and cells. Skipped
    levels do not use up a power of two; a map with one row has only the first
    term. As in both released codes, the width is not considered.

    Args:
        feat_s (Tensor): Student's map (N, C, H, W), in the teacher's space.
        feat_t (Tensor): Teacher's map of the same shape; no gradient.
        levels (Sequence[int]): Sides of the grids, in this order. Defaults
            to (4, 2, 1).

    Returns:
        Tensor: Scalar loss.

    Raises:
        ValueError: If the shapes differ.
    """
    check_features(feat_s, feat_t)
    # Averaging is linear, so it suffices to pool the difference.
    gap = feat_s - feat_t.detach()
    loss, weight, total = gap.square().mean(), 1.0, 1.0
    for level in levels:
        if level < gap.size(2):
            weight /= 2
            total += weight
            loss = loss + weight * _pool(gap, level).square().mean()
    return loss / total


def _pool(maps: Tensor, size: int) -> Tensor:
    """Adaptive average pooling to a square grid.

    If the grid divides the map, plain pooling gives the same result, with a
    gradient that is deterministic also on a GPU.
    """
    height, width = maps.shape[2:]
    if height % size == 0 and width % size == 0:
        return F.avg_pool2d(maps, (height // size, width // size))
    return F.adaptive_avg_pool2d(maps, size)
