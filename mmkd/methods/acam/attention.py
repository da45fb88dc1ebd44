"""Exact attention with memory linear in the number of positions."""
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.backends.cuda import (SDPAParams, can_use_efficient_attention,
                                 can_use_flash_attention)

#: Queries per chunk if there is no fused kernel.
CHUNK_SIZE = 1024


def cross_attention(query: Tensor,
                    key: Tensor,
                    value: Tensor,
                    chunk_size: int = 0) -> Tensor:
    r"""Scaled dot-product attention from the cells of one map to another's.

    .. math::
        Z_p = \sum_j A_{pj} V_j, \quad A_p =
            \mathrm{softmax}_j(Q_p \cdot K_j / \sqrt{C_q})

    The attention is exact, with one head. The matrix A (P x P') is never
    stored: PyTorch's fused kernel is used if there is one; otherwise, chunks
    of queries are processed, and recomputed in the backward pass. Time grows
    with P * P'.

    Args:
        query (Tensor): Map (N, C_q, H, W), P = H * W positions.
        key (Tensor): Map (N, C_q, H', W'), P' = H' * W' positions.
        value (Tensor): Map (N, C, H', W').
        chunk_size (int): Queries per chunk; 0 uses a fused kernel if
            possible. Defaults to 0.

    Returns:
        Tensor: Map (N, C, H, W), in the common type of the arguments or, under
        autocast, in the type of autocast.
    """
    if query.size(1) != key.size(1) or key.shape[2:] != value.shape[2:]:
        raise ValueError(
            'query and key must have the same channels, key and value the '
            f'same size, but got {tuple(query.shape)}, {tuple(key.shape)} and '
            f'{tuple(value.shape)}')
    size, channels = query.shape[2:], value.size(1)
    scale = query.size(1)**-0.5
    # Fused kernels need the same width for all three, a multiple of 8. The
    # zeros change neither the products nor the part of the result that is
    # kept.
    width = -(-max(query.size(1), channels) // 8) * 8
    tokens = [_tokens(feat, width) for feat in (query, key, value)]
    if chunk_size == 0 and _has_fused_kernel(*tokens):
        mixed = F.scaled_dot_product_attention(*tokens, scale=scale)
    else:
        mixed = _ChunkedAttention.apply(*tokens, scale, chunk_size
                                        or CHUNK_SIZE)
    mixed = mixed[:, 0, :, :channels].transpose(1, 2)
    return mixed.reshape(*mixed.shape[:2], *size)


def _tokens(feat: Tensor, width: int) -> Tensor:
    """(N, C, H, W) to contiguous tokens (N, 1, H * W, width)."""
    tokens = feat.flatten(2).transpose(1, 2).unsqueeze(1)
    return F.pad(tokens, (0, width - tokens.size(3))).contiguous()


def _has_fused_kernel(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether PyTorch has an attention kernel that does not store the
    matrix."""
    if query.is_cuda:
        params = SDPAParams(query, key, value, None, 0.0, False, False)
        return can_use_flash_attention(params) or can_use_efficient_attention(
            params)
    return query.device.type == 'cpu'


def _attend(query: Tensor, key: Tensor, scale: float) -> Tensor:
    return (scale * (query @ key.transpose(-2, -1))).softmax(dim=-1)


class _ChunkedAttention(torch.autograd.Function):
    """Chunked attention; the backward pass recomputes it."""

    @staticmethod
    def forward(ctx, query: Tensor, key: Tensor, value: Tensor, scale: float,
                chunk_size: int) -> Tensor:
        """Compute attention for tokens (..., P, width)."""
        ctx.save_for_backward(query, key, value)
        ctx.scale, ctx.chunk_size = scale, chunk_size
        return torch.cat([
            _attend(chunk, key, scale).to(value.dtype) @ value
            for chunk in query.split(chunk_size, dim=-2)
        ], -2)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """Gradients of the tokens."""
        query, key, value = ctx.saved_tensors
        grad = grad.to(value.dtype)
        grad_query = []
        grad_key, grad_value = torch.zeros_like(key), torch.zeros_like(value)
        for chunk, above in zip(
                query.split(ctx.chunk_size, dim=-2),
                grad.split(ctx.chunk_size, dim=-2)):
            attention = _attend(chunk, key, ctx.scale)
            grad_value += attention.transpose(-2, -1) @ above
            inner = above @ value.transpose(-2, -1)
            inner -= (inner * attention).sum(dim=-1, keepdim=True)
            inner *= ctx.scale * attention
            grad_query.append(inner @ key)
            grad_key += inner.transpose(-2, -1) @ chunk
        return torch.cat(grad_query, -2), grad_key, grad_value, None, None
