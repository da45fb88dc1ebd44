"""Trainable modules of ACAM: fusion and selection units."""
from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from mmkd.methods.acam.attention import cross_attention
from mmkd.methods.acam.losses import channel_masks, spatial_masks
from mmkd.methods.acam.options import ACAMOptions
from mmkd.ops.connectors import match_size
from mmkd.ops.precision import full_precision

#: Standard deviation of selection units at initialisation.
UNIT_STD = 0.01

_add = full_precision(torch.add)


class Masks(NamedTuple):
    """The masks of one level, on the teacher's grid.

    Attributes:
        spatial (Tensor, optional): Masks over the cells, (N, M, H, W).
        channel (Tensor, optional): Masks over the channels, (N, M, C).
    """
    spatial: Optional[Tensor]
    channel: Optional[Tensor]


class FeatureFusion(nn.Module):
    r"""Student-teacher cross-attention feature fusion (STCA-FF).

    .. math::
        Z_p = \sum_j A_{pj} (W_v F_S)_j, \quad A_p = \mathrm{softmax}_j(
            (W_q F_T)_p \cdot (W_k F_S)_j / \sqrt{C_q})

    One head, without residual, output projection or normalisation. The
    projections are 1x1 convolutions without bias; C_q is half the teacher's
    channels.

    Args:
        query_channels (int): Channels of the query map.
        key_channels (int): Channels of the map for keys and values.
        out_channels (int): Channels of Z, those of the teacher.
        max_kv (int, optional): Maximum number of positions to attend to;
            larger maps are average-pooled first. Defaults to None: exact.
    """

    def __init__(self,
                 query_channels: int,
                 key_channels: int,
                 out_channels: int,
                 max_kv: Optional[int] = None) -> None:
        super().__init__()
        inner = max(1, out_channels // 2)
        self.query = nn.Conv2d(query_channels, inner, 1, bias=False)
        self.key = nn.Conv2d(key_channels, inner, 1, bias=False)
        self.value = nn.Conv2d(key_channels, out_channels, 1, bias=False)
        self.max_kv = max_kv
        self._pooling_is_logged = False

    def forward(self, feat_q: Tensor, feat_kv: Tensor) -> Tensor:
        """Fuse two maps.

        Args:
            feat_q (Tensor): Source of the queries, (N, C, H, W).
            feat_kv (Tensor): Source of keys and values, (N, C', H', W').

        Returns:
            Tensor: Z (N, out_channels, H, W).
        """
        feat_kv = self._pool(feat_kv)
        return cross_attention(
            self.query(feat_q), self.key(feat_kv), self.value(feat_kv))

    def _pool(self, feat: Tensor) -> Tensor:
        """Pool with the smallest stride that leaves at most ``max_kv``
        cells."""
        height, width = feat.shape[2:]
        if self.max_kv is None or height * width <= self.max_kv:
            return feat
        stride = 2
        while -(-height // stride) * -(-width // stride) > self.max_kv:
            stride += 1
        if not self._pooling_is_logged:
            self._pooling_is_logged = True
            print_log(
                f'ACAM: attention over a map of {height}x{width} is '
                f'approximate: keys and values are pooled by {stride} '
                f'(max_kv={self.max_kv})', 'current')
        return F.avg_pool2d(
            feat, stride, stride, ceil_mode=True, count_include_pad=False)


class MaskLevel(nn.Module):
    """Fusion and selection units (ASCM) of one level.

    Args:
        channels_s (int): Channels of the student's map.
        channels_t (int): Channels of the teacher's map.
        num_masks (int): Masks of each kind, M.
        options (ACAMOptions): The options of the method.
    """

    def __init__(self, channels_s: int, channels_t: int, num_masks: int,
                 options: ACAMOptions) -> None:
        super().__init__()
        self.query = options.query
        self.detach_inputs = options.detach_inputs
        self.residual = options.added
        self.standardised = options.standardised
        self.fusion: Optional[FeatureFusion] = None
        if options.mask_source == 'cooperative':
            widths = channels_t, channels_s
            if options.query == 'student':
                widths = channels_s, channels_t
            self.fusion = FeatureFusion(*widths, channels_t, options.max_kv)
        self.spatial_units: Optional[nn.Parameter] = None
        self.channel_units: Optional[nn.Parameter] = None
        trained = options.mask_source != 'teacher_fixed'

        def units(width: int) -> nn.Parameter:
            return nn.Parameter(
                UNIT_STD * torch.randn(num_masks, width),
                requires_grad=trained)

        if options.use_spatial:
            self.spatial_units = units(channels_t)
        if options.use_channel:
            self.channel_units = units(1 if options.channel_units ==
                                       'shared' else channels_t)

    def forward(self, feat_s: Tensor, feat_t: Tensor,
                aligned: Tensor) -> Masks:
        """Compute the masks of a batch.

        Args:
            feat_s (Tensor): Student's map (N, C_S, H', W').
            feat_t (Tensor): Teacher's map (N, C, H, W).
            aligned (Tensor): The student's map on the teacher's channels and
                grid, (N, C, H, W).

        Returns:
            Masks: On the teacher's grid.
        """
        fused = feat_t
        if self.fusion is not None:
            if self.detach_inputs:
                feat_s = feat_s.detach()
            fused = self.fusion(feat_t, feat_s) if self.query == 'teacher' \
                else match_size(self.fusion(feat_s, feat_t), feat_t)
            if self.residual != 'none':
                fused = _add(fused, feat_t)
            if self.residual == 'both':
                fused = _add(fused, aligned.detach())
        return Masks(
            None if self.spatial_units is None else spatial_masks(
                fused, self.spatial_units, self.standardised),
            None if self.channel_units is None else channel_masks(
                fused, self.channel_units, self.standardised))
