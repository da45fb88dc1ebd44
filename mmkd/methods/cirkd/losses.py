"""The losses of CIRKD: divergences of similarities between pixels."""
from typing import Any, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mmkd.ops.masks import masked_rows
from mmkd.ops.precision import full_precision
from mmkd.ops.vectors import unit

#: Similarities that are in memory at a time, 64 MB in float32.
_CHUNK = 1 << 24


def cells_of(maps: Tensor) -> Tensor:
    """The vectors (N, H * W, C) of the cells of maps (N, C, H, W)."""
    return maps.flatten(2).transpose(1, 2)


def _distributions(rows: Tensor, keys: Tensor, tau: float,
                   valid: Optional[Tensor]) -> Tensor:
    """Logarithms of the softmax over each group of keys, (R, G, K)."""
    logits = torch.einsum('rc,gkc->rgk', rows / tau, keys)
    if valid is not None:
        # A finite number: -inf has no difference to itself.
        logits.masked_fill_(~valid, -1e4)
    return logits.log_softmax(2)


class _Divergence(Function):
    """See :func:`similarity_divergence`. The gradient is computed with the
    loss, while the similarities of a chunk are there."""

    @staticmethod
    def forward(ctx: Any, rows_s: Tensor, keys_s: Tensor, rows_t: Tensor,
                keys_t: Tensor, weights: Tensor, tau: float,
                valid: Optional[Tensor]) -> Tuple[Tensor, Tensor]:
        of_rows, of_keys = ctx.needs_input_grad[:2]
        grad_rows, grad_keys = torch.empty_like(rows_s), None
        if of_keys:
            grad_keys = torch.zeros_like(keys_s)
        divergence = torch.empty_like(weights)
        size = max(1, _CHUNK // keys_s.shape[:2].numel())
        for begin in range(0, len(rows_s), size):
            part = slice(begin, begin + size)
            log_s = _distributions(rows_s[part], keys_s, tau, valid)
            log_t = _distributions(rows_t[part], keys_t, tau, valid)
            prob_t = log_t.exp()
            divergence[part] = log_t.sub_(log_s).mul_(prob_t).sum(2).mean(1)
            if of_rows or of_keys:
                factor = weights[part] / (tau * len(keys_s))
                grad = log_s.exp_().sub_(prob_t).mul_(factor[:, None, None])
                grad_rows[part] = torch.einsum('rgk,gkc->rc', grad, keys_s)
            if of_keys:
                grad_keys += torch.einsum('rgk,rc->gkc', grad, rows_s[part])
        ctx.save_for_backward(grad_rows, grad_keys)
        ctx.mark_non_differentiable(divergence)
        return (divergence * weights).sum(), divergence

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor,
                 _: Tensor) -> Tuple[Optional[Tensor], ...]:
        grad_rows, grad_keys = ctx.saved_tensors
        return (grad * grad_rows,
                None if grad_keys is None else grad * grad_keys, *[None] * 5)


def similarity_divergence(
        rows_s: Tensor,
        rows_t: Tensor,
        keys_s: Tensor,
        keys_t: Tensor,
        weights: Tensor,
        tau: float,
        valid: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
    """KL divergence of the similarities of each row to groups of keys.

    The similarities, R x G x K numbers of each side, are computed in chunks
    of rows. All vectors have length 1. Gradients flow to the student's.

    Args:
        rows_s (Tensor): Student's vectors (R, C).
        rows_t (Tensor): Teacher's vectors (R, C').
        keys_s (Tensor): Vectors (G, K, C) to compare the student's with; each
            group has a softmax of its own.
        keys_t (Tensor): The same for the teacher, (G, K, C').
        weights (Tensor): Weight of each row, (R, ).
        tau (float): Temperature.
        valid (Tensor, optional): Keys to include, bool (G, K). Defaults to
            None: all.

    Returns:
        tuple[Tensor, Tensor]: The sum over the rows of the mean over the
        groups, a scalar; and that mean for each row, (R, ), without gradient.
    """
    return _Divergence.apply(rows_s, keys_s, rows_t, keys_t, weights, tau,
                             valid)


@full_precision
def batch_loss(feat_s: Tensor,
               feat_t: Tensor,
               tau: float = 0.1,
               valid: Optional[Tensor] = None) -> Tuple[Tensor, Tensor]:
    r"""Divergence of the similarities of each cell to those of all images.

    With the vectors s and t of the cells, of length 1,

    .. math::
        L = \frac{1}{N^2} \sum_{i, j} \mathrm{mean}_p \mathrm{KL}(
        \mathrm{softmax}_q(t_{ip} \cdot t_{jq} / \tau) \,\|\,
        \mathrm{softmax}_q(s_{ip} \cdot s_{jq} / \tau))

    for the cells p and q of the images i and j, i = j included.

    Args:
        feat_s (Tensor): Student's map (N, C, H, W).
        feat_t (Tensor): Teacher's map (N, C', H, W).
        tau (float): Temperature. Defaults to 0.1.
        valid (Tensor, optional): Cells p and q to include, bool
            (N, 1, H, W). Defaults to None: all.

    Returns:
        tuple[Tensor, Tensor]: L, and what each cell p contributes before the
        mean over p and i, (N, H, W), without gradient.
    """
    cells_s, cells_t = (cells_of(unit(x, 1)) for x in (feat_s, feat_t))
    if valid is None:
        weights = cells_s.new_full(cells_s.shape[:2],
                                   1 / cells_s.shape[:2].numel())
    else:
        valid = valid.flatten(1)
        weights = valid.to(cells_s.dtype)
        weights /= weights.sum(1, keepdim=True).clamp(min=1) * len(valid)
    loss, rows = similarity_divergence(
        cells_s.flatten(0, 1), cells_t.flatten(0, 1), cells_s, cells_t,
        weights.flatten(), tau, valid)
    return loss, rows.view(len(feat_s), *feat_s.shape[2:])


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
    rows_s, rows_t = (masked_rows(x, labelled) for x in (embed_s, embed_t))
    number = labelled.sum().clamp(min=1).to(rows_s.dtype)
    weights = (1 / number).expand(len(rows_s))
    return similarity_divergence(rows_s, rows_t, keys[None], keys[None],
                                 weights, tau)[0]
