"""The losses of SimilarityKD."""
import torch.nn.functional as F
from torch import Tensor

from mmkd.ops.precision import full_precision
from mmkd.ops.vectors import unit


@full_precision
def queue_loss(embed_s: Tensor,
               embed_t: Tensor,
               queue: Tensor,
               tau: float = 0.07,
               keep_empty: bool = False) -> Tensor:
    """KL divergence of the similarities to the embeddings of a queue.

    Args:
        embed_s (Tensor): Student's embeddings (N, D).
        embed_t (Tensor): Teacher's embeddings (N, D).
        queue (Tensor): Earlier embeddings of the teacher, of length 1,
            (K, D).
        tau (float): Temperature. Defaults to 0.07.
        keep_empty (bool): Whether rows of zeros, which are not filled yet,
            count; their similarity is 0. Defaults to False.

    Returns:
        Tensor: Scalar, the mean over the images.
    """
    logits_s, logits_t = (unit(x) @ queue.T / tau for x in (embed_s, embed_t))
    if not keep_empty:
        empty = ~queue.any(dim=1)
        # A finite number: -inf has no difference to itself.
        logits_s, logits_t = (
            x.masked_fill(empty, -1e4) for x in (logits_s, logits_t))
    return F.kl_div(
        logits_s.log_softmax(1),
        logits_t.log_softmax(1),
        reduction='batchmean',
        log_target=True)


@full_precision
def cell_loss(feat_s: Tensor, feat_t: Tensor, tau: float = 0.07) -> Tensor:
    """KL divergence of the similarities between the cells of an image.

    Args:
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's map (N, C', H, W).
        tau (float): Temperature. Defaults to 0.07.

    Returns:
        Tensor: Scalar, the mean over all cells of all images.
    """
    logits_s, logits_t = (
        cells @ cells.transpose(1, 2) / tau
        for cells in (unit(feat.flatten(2).transpose(1, 2))
                      for feat in (feat_s, feat_t)))
    return F.kl_div(
        logits_s.log_softmax(2).flatten(0, 1),
        logits_t.log_softmax(2).flatten(0, 1),
        reduction='batchmean',
        log_target=True)
