"""The losses of CIRKD: divergences of similarities between pixels."""
from typing import Optional

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmkd.ops.masks import masked_rows
from mmkd.ops.precision import full_precision

#: Similarities that are in memory at a time, 64 MB in float32.
_CHUNK = 1 << 24
_EPS = 1e-12


def unit(vectors: Tensor, dim: int = -1) -> Tensor:
    """Vectors of length 1, in float32 at least.

    A zero vector stays one and gets no gradient: divided by a small number,
    its gradient would overflow in half precision.

    Args:
        vectors (Tensor): (..., C, ...).
        dim (int): Dimension of C. Defaults to -1.
    """
    if vectors.dtype in (torch.float16, torch.bfloat16):
        vectors = vectors.float()
    norms = torch.linalg.vector_norm(vectors, dim=dim, keepdim=True)
    return vectors / norms.masked_fill(norms <= _EPS, torch.inf)


def cells_of(maps: Tensor) -> Tensor:
    """The vectors (N, H * W, C) of the cells of maps (N, C, H, W)."""
    return maps.flatten(2).transpose(1, 2)


def _divergence(rows_s: Tensor, rows_t: Tensor, keys_s: Tensor, keys_t: Tensor,
                tau: float, valid: Optional[Tensor]) -> Tensor:
    log_s, log_t = (torch.einsum('rc,gkc->rgk', rows, keys) / tau
                    for rows, keys in ((rows_s, keys_s), (rows_t, keys_t)))
    if valid is not None:
        # A finite number: -inf has no difference to itself.
        log_s, log_t = (x.masked_fill(~valid, -1e4) for x in (log_s, log_t))
    divergence = F.kl_div(
        log_s.log_softmax(2),
        log_t.log_softmax(2),
        reduction='none',
        log_target=True)
    return divergence.sum(2).mean(1)


def similarity_divergence(rows_s: Tensor,
                          rows_t: Tensor,
                          keys_s: Tensor,
                          keys_t: Tensor,
                          tau: float,
                          valid: Optional[Tensor] = None) -> Tensor:
    """KL divergence of the similarities of each row to groups of keys.

    The similarities, R x G x K numbers of each side, are computed in chunks
    of rows and again in the backward pass. All vectors have length 1.

    Args:
        rows_s (Tensor): Student's vectors (R, C).
        rows_t (Tensor): Teacher's vectors (R, C').
        keys_s (Tensor): Vectors (G, K, C) to compare the student's with; each
            group has a softmax of its own.
        keys_t (Tensor): The same for the teacher, (G, K, C').
        tau (float): Temperature.
        valid (Tensor, optional): Keys to include, bool (G, K). Defaults to
            None: all.

    Returns:
        Tensor: Mean over the groups for each row, (R, ).
    """
    size = max(1, _CHUNK // keys_s.shape[:2].numel())
    return torch.cat([
        checkpoint(
            _divergence,
            *rows,
            keys_s,
            keys_t,
            tau,
            valid,
            use_reentrant=False,
            # Nothing is random, and reading the state would make the host
            # wait.
            preserve_rng_state=False)
        for rows in zip(rows_s.split(size), rows_t.split(size))
    ])


@full_precision
def batch_divergence(feat_s: Tensor,
                     feat_t: Tensor,
                     tau: float = 0.1,
                     valid: Optional[Tensor] = None) -> Tensor:
    r"""Divergence of the similarities of each cell to those of all images.

    With the vectors s and t of the cells, of length 1,

    .. math::
        d_{ip} = \frac{1}{N} \sum_j \mathrm{KL}(
        \mathrm{softmax}_q(t_{ip} \cdot t_{jq} / \tau) \,\|\,
        \mathrm{softmax}_q(s_{ip} \cdot s_{jq} / \tau))

    for the cells q of every image j, image i included.

    Args:
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's map (N, C', H, W).
        tau (float): Temperature. Defaults to 0.1.
        valid (Tensor, optional): Cells q to include, bool (N, 1, H, W).
            Defaults to None: all.

    Returns:
        Tensor: (N, H, W).
    """
    cells_s, cells_t = (cells_of(unit(x, 1)) for x in (feat_s, feat_t))
    rows = similarity_divergence(
        cells_s.flatten(0, 1), cells_t.flatten(0, 1), cells_s, cells_t, tau,
        None if valid is None else valid.flatten(1))
    return rows.view(len(feat_s), *feat_s.shape[2:])


@full_precision
def memory_loss(embed_s: Tensor,
                embed_t: Tensor,
                keys: Tensor,
                labelled: Tensor,
                tau: float = 0.1) -> Tensor:
    """Divergence of the similarities of labelled cells to stored vectors.

    All vectors have length 1.

    Args:
        embed_s (Tensor): Student's vectors (R, C).
        embed_t (Tensor): Teacher's vectors (R, C).
        keys (Tensor): Stored vectors of the teacher (K, C).
        labelled (Tensor): Which rows to include, bool (R, ).
        tau (float): Temperature. Defaults to 0.1.

    Returns:
        Tensor: Scalar, the mean over the labelled cells; 0 if there is none.
    """
    rows = similarity_divergence(
        masked_rows(embed_s, labelled), masked_rows(embed_t, labelled),
        keys[None], keys[None], tau)
    return rows.sum() / labelled.sum().clamp(min=1)
