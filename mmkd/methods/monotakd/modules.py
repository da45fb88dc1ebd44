"""Modules after the camera lift: height collapse and residual branches."""
from typing import Optional, Sequence

import torch
import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmcv.ops import DeformConv2d
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmkd.registry import MODELS

_NORM = dict(type='BN')


@MODELS.register_module()
class HeightCollapse(BaseModule):
    """Reduce a stack of heights to one map: 1x1 convolution, BN, ReLU.

    Args:
        in_channels (int): Channels of all heights together.
        out_channels (int): Channels of the map.
        alignment (dict, optional): Arguments of a :class:`SpatialAlignment`
            for the map, as for MonoTAKD's assistant in the released code
            (which shares the student's). Defaults to None: no alignment.
        norm_cfg (dict): Normalisation. Defaults to BN.
        init_cfg (dict, optional): Initialisation. Defaults to None.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 alignment: Optional[dict] = None,
                 norm_cfg: dict = _NORM,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.conv = ConvModule(
            in_channels, out_channels, 1, bias=False, norm_cfg=norm_cfg)
        self.alignment = None if alignment is None else SpatialAlignment(
            out_channels, **{
                'norm_cfg': norm_cfg,
                **alignment
            })

    def forward(self, x: Tensor) -> Tensor:
        """(B, nz * C_in, H, W) to (B, C, H, W)."""
        x = self.conv(x)
        return x if self.alignment is None else self.alignment(x)


class _CalibratedBlock(nn.Module):
    """A convolution on half of the channels, and a convolution gated by its
    context on the other half."""

    def __init__(self, channels: int, pooling: int, norm_cfg: dict) -> None:
        super().__init__()
        half = channels // 2

        def conv(size: int, *ends: int, **kwargs) -> ConvModule:
            return ConvModule(
                *ends,
                size,
                padding=size // 2,
                bias=size == 3,
                norm_cfg=norm_cfg,
                **kwargs)

        self.plain = nn.Sequential(
            conv(1, channels, half), conv(3, half, half))
        self.reduce = conv(1, channels, half)
        self.around = conv(3, half, half, act_cfg=None)
        self.local = conv(3, half, half, act_cfg=None)
        self.out = conv(3, half, half)
        self.merge = conv(1, 2 * half, channels, act_cfg=None)
        self.pooling = pooling

    def forward(self, x: Tensor) -> Tensor:
        half = self.reduce(x)
        around = self.around(F.avg_pool2d(half, self.pooling, ceil_mode=True))
        gate = (half + F.interpolate(around, half.shape[2:])).sigmoid()
        half = self.out(self.local(half) * gate)
        return F.relu(x + self.merge(torch.cat([self.plain(x), half], 1)))


class SelfCalibration(nn.Sequential):
    """Residual blocks of self-calibrated convolutions (SCNet).

    Liu et al., Improving Convolutional Networks with Self-Calibrated
    Convolutions, CVPR 2020. CMKD (Hong et al., ECCV 2022) and the released
    code of MonoTAKD put them on the camera's map and call them domain
    adaptation; four blocks there, though the config says five.

    Args:
        channels (int): Channels C of the map.
        num_blocks (int): Number of blocks. Defaults to 4.
        pooling (int): Side of the averaging window for the gate, in cells.
            Defaults to 4.
        norm_cfg (dict): Normalisation. Defaults to BN.
    """

    def __init__(self,
                 channels: int,
                 num_blocks: int = 4,
                 pooling: int = 4,
                 norm_cfg: dict = _NORM) -> None:
        super().__init__(*[
            _CalibratedBlock(channels, pooling, norm_cfg)
            for _ in range(num_blocks)
        ])


class _Pyramid(nn.Module):
    """Concatenated context at several scales (ASPP)."""

    def __init__(self, channels: int, hidden: int, dilations: Sequence[int],
                 norm_cfg: dict, pooled_norm: bool) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [ConvModule(channels, hidden, 1, bias=True, norm_cfg=norm_cfg)])
        for dilation in dilations:
            self.branches.append(
                ConvModule(
                    channels,
                    hidden,
                    3,
                    padding=dilation,
                    dilation=dilation,
                    bias=True,
                    norm_cfg=norm_cfg))
        # BN cannot be trained on one cell of one sample.
        self.pooled = ConvModule(
            channels,
            hidden,
            1,
            bias=True,
            norm_cfg=norm_cfg if pooled_norm else None)
        self.project = ConvModule(
            hidden * (len(dilations) + 2),
            channels,
            1,
            bias=True,
            norm_cfg=norm_cfg)

    def forward(self, x: Tensor) -> Tensor:
        maps = [branch(x) for branch in self.branches]
        maps.append(
            self.pooled(x.mean((2, 3), keepdim=True)).expand_as(maps[0]))
        return self.project(torch.cat(maps, 1))


class _DeformConv(DeformConv2d):
    """A 3x3 deformable convolution with a fast CPU implementation.

    mmcv's takes seconds per step on a CPU. Here, ``grid_sample`` samples the
    nine shifted copies of the map, and a 1x1 convolution weights them. The
    results agree up to rounding.
    """

    def forward(self, x: Tensor, offset: Tensor) -> Tensor:
        """Maps (B, C, H, W) and, in cells, offsets (B, 18, H, W): the row and
        the column of each of the nine taps."""
        if x.device.type != 'cpu':
            return super().forward(x, offset)
        # `grid_sample` needs equal types; autocast may cause two.
        dtype = torch.promote_types(self.weight.dtype, torch.float32)
        x, offset = x.to(dtype), offset.to(dtype)
        batch, channels, height, width = x.shape
        taps = torch.arange(9)
        rows = torch.arange(height)[:, None] + taps[:, None, None] // 3 - 1
        cols = torch.arange(width) + taps[:, None, None] % 3 - 1
        offset = offset.view(batch, 9, 2, height, width)
        # From cells to the range -1 to 1 between the outer edges of the map.
        grid = torch.stack([(offset[:, :, 1] + cols + 0.5) * (2 / width) - 1,
                            (offset[:, :, 0] + rows + 0.5) * (2 / height) - 1],
                           -1)
        shifted = F.grid_sample(
            x, grid.flatten(1, 2), padding_mode='zeros', align_corners=False)
        return F.conv2d(
            shifted.view(batch, channels * 9, height, width),
            self.weight.flatten(1)[:, :, None, None])


@MODELS.register_module()
class SpatialAlignment(BaseModule):
    """Spatial alignment module (SAM) of MonoTAKD.

    Liu et al., CVPR 2025 (arXiv 2404.04910), as in the released code: the
    input, gated for each channel by context at several scales, plus the input
    after a deformable convolution, applied twice with the same weights; then
    two convolutions. A map of zeros remains zero.

    Args:
        channels (int): Channels C of the map. Defaults to 128.
        hidden_channels (int): Channels of each scale of context. Defaults to
            64.
        dilations (Sequence[int]): Dilations of the 3x3 convolutions of the
            context. Defaults to (6, 12).
        last_relu (bool): Whether a ReLU follows, which only suits the
            absolute residual. Defaults to True.
        pooled_norm (bool): Whether the branch of the context that averages
            the map is normalised, as in the released code, which then cannot
            be trained on one sample. Defaults to False.
        norm_cfg (dict): Normalisation. Defaults to BN.
        init_cfg (dict, optional): Initialisation. Defaults to None.
    """

    def __init__(self,
                 channels: int = 128,
                 hidden_channels: int = 64,
                 dilations: Sequence[int] = (6, 12),
                 last_relu: bool = True,
                 pooled_norm: bool = False,
                 norm_cfg: dict = _NORM,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        self.pyramid = _Pyramid(channels, hidden_channels, dilations, norm_cfg,
                                pooled_norm)
        self.gate = nn.Sequential(
            nn.Linear(channels, channels, bias=False), nn.ReLU(),
            nn.Linear(channels, channels, bias=False), nn.ReLU(),
            nn.Linear(channels, channels, bias=False), nn.Sigmoid())
        self.offset = nn.Conv2d(channels, 18, 3, padding=1, bias=False)
        self.deform = _DeformConv(channels, channels, 3, padding=1)
        self.widen = nn.Conv2d(
            channels, 2 * channels, 3, padding=1, bias=False)
        self.narrow = nn.Conv2d(
            2 * channels, channels, 3, padding=1, bias=False)
        self.last_relu = last_relu

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        gate = self.gate(self.pyramid(x).mean((2, 3)))
        moved = x
        for _ in range(2):
            moved = self.deform(moved, self.offset(moved))
        out = self.narrow(
            F.relu(self.widen(x * gate[:, :, None, None] + moved)))
        return F.relu(out) if self.last_relu else out


@MODELS.register_module()
class FeatureFusion(BaseModule):
    """Feature fusion module (FFM) of MonoTAKD: a sum and three convolutions.

    Args:
        channels (int): Channels C of the maps. Defaults to 128.
        shared_norm (bool): Whether the first and the last convolution share
            one BN, whose statistics then change twice in each step, as in the
            released code. Defaults to False: each has its own.
        norm_cfg (dict): Normalisation. Defaults to BN.
        init_cfg (dict, optional): Initialisation. Defaults to None.
    """

    def __init__(self,
                 channels: int = 128,
                 shared_norm: bool = False,
                 norm_cfg: dict = _NORM,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        common = dict(bias=True, norm_cfg=norm_cfg)
        self.convs = nn.Sequential(
            ConvModule(channels, channels, 3, padding=1, **common),
            ConvModule(channels, 2 * channels, 1, **common),
            ConvModule(2 * channels, channels, 3, padding=1, **common))
        if shared_norm:
            first, last = self.convs[0], self.convs[2]
            setattr(last, last.norm_name, first.norm)

    def forward(self, visual: Tensor, spatial: Tensor) -> Tensor:
        """Two maps (B, C, H, W) to one."""
        return self.convs(visual + spatial)


@MODELS.register_module()
class ResidualBranches(BaseModule):
    """The student's two branches in MonoTAKD, and their fusion.

    The lifted stack of heights is collapsed twice: ``visual`` learns from an
    assistant; ``spatial`` goes through ``alignment`` and learns the residual
    of the assistant; ``fusion`` combines both. The module is part of the
    student, also in testing and export.

    With ``calibration``, the output of its blocks learns from the assistant
    and is fused. The released code fuses the map before them, so they only
    affect the loss.

    Args:
        in_channels (int): Channels of all heights together.
        out_channels (int): Channels of the map. Defaults to 128.
        alignment (dict, optional): Arguments of :class:`SpatialAlignment`.
            Defaults to None.
        calibration (dict, optional): Arguments of a
            :class:`SelfCalibration` on the visual branch. Defaults to None:
            no calibration.
        fusion (dict, optional): Arguments of :class:`FeatureFusion`. Defaults
            to None.
        norm_cfg (dict): Normalisation. Defaults to BN.
        init_cfg (dict, optional): Initialisation. Defaults to None.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int = 128,
                 alignment: Optional[dict] = None,
                 calibration: Optional[dict] = None,
                 fusion: Optional[dict] = None,
                 norm_cfg: dict = _NORM,
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        common = dict(norm_cfg=norm_cfg)
        self.visual = HeightCollapse(in_channels, out_channels, **common)
        if calibration is not None:
            self.visual = nn.Sequential(
                self.visual,
                SelfCalibration(out_channels, **{
                    **common,
                    **calibration
                }))
        self.spatial = HeightCollapse(in_channels, out_channels, **common)
        self.alignment = SpatialAlignment(
            out_channels, **{
                'norm_cfg': norm_cfg,
                **(alignment or {})
            })
        self.fusion = FeatureFusion(out_channels, **{
            'norm_cfg': norm_cfg,
            **(fusion or {})
        })

    def forward(self, x: Tensor) -> Tensor:
        """(B, nz * C_in, H, W) to (B, C, H, W)."""
        return self.fusion(self.visual(x), self.alignment(self.spatial(x)))
