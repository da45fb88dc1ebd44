"""Distances between feature maps."""
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
