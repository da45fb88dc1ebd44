"""The contrast of Af-DCD: groups of channels inside patches."""
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.precision import full_precision

#: Differences that the backward pass holds at a time, 256 MB in float32.
_CHUNK = 1 << 26


def patch_vectors(feat: Tensor, num_groups: int, patch: Tuple[int,
                                                              int]) -> Tensor:
    """Vectors of the channel groups of the cells of each patch.

    Args:
        feat (Tensor): (N, C, H, W). Rows and columns beyond the last whole
            patch are left out.
        num_groups (int): Number of groups M of consecutive channels.
        patch (tuple[int, int]): Height h and width w of a patch in cells.

    Returns:
        Tensor: (N * patches, M * h * w, C / M), group by group.
    """
    height, width = patch
    rows, columns = feat.size(2) // height, feat.size(3) // width
    feat = feat[:, :, :rows * height, :columns * width]
    parts = feat.reshape(
        len(feat), num_groups, -1, rows, height, columns, width)
    # To N, rows, columns, M, h, w, C / M.
    parts = parts.permute(0, 3, 5, 1, 4, 6, 2)
    return parts.flatten(3, 5).flatten(0, 2)


def _contrast(vectors_s: Tensor, vectors_t: Tensor, excluded: Tensor,
              tau: float) -> Tensor:
    logits = torch.cdist(vectors_s, vectors_t, p=1.) / -tau
    logits = logits.masked_fill(excluded, -torch.inf)
    positive = torch.arange(logits.size(1), device=logits.device)
    return F.cross_entropy(
        logits.flatten(0, 1), positive.repeat(len(logits)), reduction='sum')


@full_precision
def contrast_loss(feat_s: Tensor,
                  feat_t: Tensor,
                  num_groups: int,
                  patch: Tuple[int, int] = (4, 4),
                  tau: float = 0.07) -> Tensor:
    r"""Contrast of the student's channel groups with the teacher's.

    In a patch, P_{gi} are the channels of group g in cell i of the student
    and Q_{hj} those of the teacher, with the L1 distance
    d(g, i; h, j) = |P_{gi} - Q_{hj}|. The positive of (g, i) is (g, i); its
    negatives are all cells of all other groups:

    .. math::
        L = \frac{1}{N H W} \sum_{g,i} \log\Big(1 + \sum_{h \ne g, j}
        \exp\big((d(g,i;g,i) - d(g,i;h,j)) / \tau\big)\Big)

    summed over patches and images too: the sum over the groups of a mean
    over the cells.

    Args:
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's map of the same shape; no gradient.
        num_groups (int): Number of groups; divides C.
        patch (tuple[int, int]): Height and width of a patch in cells; no
            larger than the map, whose rows and columns beyond the last whole
            patch are left out. Defaults to (4, 4).
        tau (float): Temperature. Defaults to 0.07.

    Returns:
        Tensor: Scalar loss. It is above 0 for equal maps.
    """
    size = min(patch[0], feat_s.size(2)), min(patch[1], feat_s.size(3))
    vectors_s, vectors_t = (
        patch_vectors(feat, num_groups, size)
        for feat in (feat_s, feat_t.detach()))
    number = vectors_s.size(1)
    index = torch.arange(number, device=feat_s.device)
    group = index // (size[0] * size[1])
    excluded = (group[:, None] == group) & (index[:, None] != index)
    step = max(1, _CHUNK // (number**2 * vectors_s.size(2)))
    total = sum(
        _contrast(*pair, excluded, tau)
        for pair in zip(vectors_s.split(step), vectors_t.split(step)))
    return total / (vectors_s.shape[:2].numel() // num_groups)
