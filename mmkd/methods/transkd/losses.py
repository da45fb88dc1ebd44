"""Loss of patch embeddings (TransKD)."""
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.precision import full_precision


@full_precision
def embedding_loss(tokens_s: Tensor, tokens_t: Tensor) -> Tensor:
    """Mean squared difference of two sets of tokens.

    The loss of the patch embedding alignment of `TransKD
    <https://arxiv.org/abs/2202.13393>`_, averaged over images, tokens and
    channels.

    Args:
        tokens_s (Tensor): Student's tokens (N, L, C), in the teacher's
            space.
        tokens_t (Tensor): Teacher's tokens of the same shape; no gradient.

    Returns:
        Tensor: Scalar loss.

    Raises:
        ValueError: If the shapes differ; they are never broadcast.
    """
    if tokens_s.shape != tokens_t.shape:
        raise ValueError(
            'student and teacher must have one shape (N, L, C), but got '
            f'{tuple(tokens_s.shape)} and {tuple(tokens_t.shape)}')
    return F.mse_loss(tokens_s, tokens_t.detach())
