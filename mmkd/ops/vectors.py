"""Vectors compared by their direction."""
import torch
from torch import Tensor

from mmkd.ops.precision import upcast

_EPS = 1e-12


def unit(vectors: Tensor, dim: int = -1) -> Tensor:
    """Vectors of length 1, in float32 at least.

    A zero vector stays one and gets no gradient: divided by a small number,
    its gradient would overflow in half precision.

    Args:
        vectors (Tensor): (..., C, ...).
        dim (int): Dimension of C. Defaults to -1.

    Returns:
        Tensor: Of the same shape.
    """
    vectors = upcast(vectors)
    norms = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    return vectors / norms.masked_fill(norms <= _EPS, torch.inf)
