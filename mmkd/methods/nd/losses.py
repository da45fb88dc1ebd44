"""Loss of norm and direction, and that of ReviewKD."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.distances import hierarchical_context_loss
from mmkd.ops.masks import zero_like_graph
from mmkd.ops.precision import full_precision

#: The loss of ReviewKD.
pyramid_distance = hierarchical_context_loss


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
