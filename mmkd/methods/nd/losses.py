"""Loss of norm and direction, and that of ReviewKD."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.masks import zero_like_graph
from mmkd.ops.precision import full_precision


@full_precision
def norm_direction_distance(emb_s: Tensor,
                            emb_t: Tensor,
                            means: Tensor,
                            labels: Tensor,
                            included: Optional[Tensor] = None,
                            eps: float = 1e-6) -> Tensor:
    r"""How far embeddings are from a class direction, and how short.

    `Improving Knowledge Distillation via Regularizing Feature Norm and
    Direction <https://arxiv.org/abs/2305.17007>`_ (Wang et al., ECCV 2024).
    With the teacher's mean :math:`\mu_y` of the class of sample i:

    .. math::
        L = \frac{1}{R} \sum_i \left(1 - \frac{\langle s_i, \mu_{y_i}\rangle}
            {|\mu_{y_i}| \max(|s_i|, |t_i|)}\right)

    Args:
        emb_s (Tensor): Student's embeddings (R, E).
        emb_t (Tensor): Teacher's (R, E); no gradient.
        means (Tensor): (M, E), one row for each class; zeros for classes
            without a mean.
        labels (Tensor): Class of each sample, (R, ), integer.
        included (Tensor, optional): Samples to include, (R, ), bool. Samples
            whose label has no mean are excluded in any case. Defaults to
            None: all.
        eps (float): Minimum of the denominator. Defaults to 1e-6.

    Returns:
        Tensor: Scalar from 0 to 2, the mean over the included samples; 0
        without any.
    """
    if not len(emb_s):
        return zero_like_graph(emb_s)
    known = (labels >= 0) & (labels < len(means))
    means = means.detach()[labels.clamp(0, len(means) - 1)]
    known = known & means.ne(0).any(1)
    if included is not None:
        known = known & included
    norm_s, norm_t = (
        torch.linalg.vector_norm(x, dim=1) for x in (emb_s, emb_t.detach()))
    # Not `maximum`, which splits the gradient between equal norms.
    norm = torch.where(norm_s >= norm_t, norm_s, norm_t).clamp(min=eps)
    along = (emb_s * F.normalize(means, dim=1)).sum(1)
    distance = (1 - along / norm) * known
    return distance.sum() / known.sum().clamp(min=1)


@full_precision
def pyramid_distance(feat_s: Tensor, feat_t: Tensor) -> Tensor:
    """Squared difference of maps and of their averages on coarse grids.

    The hierarchical context loss of `Distilling Knowledge via Knowledge
    Review <https://arxiv.org/abs/2104.09044>`_ (ReviewKD, Chen et al., CVPR
    2021): the mean at full size, and on grids of 4, 2 and 1 cells with half
    the weight of the previous one, without grids as high as the map.

    Args:
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's, of the same shape; no gradient.

    Returns:
        Tensor: Scalar, the weighted mean.
    """
    feat_t = feat_t.detach()
    loss = F.mse_loss(feat_s, feat_t)
    weight, total = 1., 1.
    for size in (4, 2, 1):
        if size >= feat_s.size(2):
            continue
        weight /= 2
        total += weight
        loss = loss + weight * F.mse_loss(*(F.adaptive_avg_pool2d(x, size)
                                            for x in (feat_s, feat_t)))
    return loss / total
