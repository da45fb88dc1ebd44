"""The distance of the codes of anchors in SparseKD.

What it shares with X-Ray is in :mod:`mmkd.ops.detection_heads`.
"""
from typing import Optional, Sequence

from torch import Tensor

from mmkd.ops.constants import constant
from mmkd.ops.detection_heads import anchor_code_distance
from mmkd.ops.masks import masked_rows
from mmkd.ops.precision import full_precision


@full_precision
def anchor_code_loss(codes_s: Tensor,
                     codes_t: Tensor,
                     positives: Tensor,
                     weights: Optional[Sequence[float]] = None,
                     beta: float = 1 / 9) -> Tensor:
    """Smooth L1 distance of the codes of positive anchors.

    It is summed over a code, of whose yaw the sine of the difference counts,
    and averaged over the positive anchors of a frame, then over frames.

    Args:
        codes_s (Tensor): Student's codes (B * N, R) of N anchors a frame,
            the yaw at index 6.
        codes_t (Tensor): Teacher's (B * N, R).
        positives (Tensor): (B, N), bool.
        weights (Sequence[float], optional): (R, ). Defaults to None: 1.
        beta (float): Distance below which it is quadratic. Defaults to 1/9.

    Returns:
        Tensor: Scalar; a frame without a positive anchor counts as 0.
    """
    counts = positives.sum(1, keepdim=True).clamp(min=1)
    shares = (positives / (counts * len(positives))).to(codes_s)
    rows = positives.flatten()
    distance = anchor_code_distance(
        masked_rows(codes_s, rows), masked_rows(codes_t, rows), beta)
    if weights is not None:
        distance = distance * constant(weights, distance)
    return (distance * masked_rows(shares.view(-1, 1), rows)).sum()
