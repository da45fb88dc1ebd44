"""Fusion of bird's-eye-view maps from several sensors."""
from typing import Optional, Sequence

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmkd.registry import MODELS


@MODELS.register_module()
class ConvFuser(BaseModule):
    """Concatenation, an optional gate of channels, 3x3 convolution, BN, ReLU.

    Args:
        in_channels (Sequence[int]): Channels of each map.
        out_channels (int): Channels of the result.
        gate (bool): Whether each channel is first multiplied by a sigmoid of
            a 1x1 convolution of the means over the map, as in UniDistill's
            fusion detector. Defaults to False.
        norm_cfg (dict): Normalisation. Defaults to BN with eps 1e-3 and
            momentum 0.01, as in SECOND.
        init_cfg (dict, optional): Initialisation. Defaults to None.
    """

    def __init__(self,
                 in_channels: Sequence[int],
                 out_channels: int,
                 gate: bool = False,
                 norm_cfg: dict = dict(type='BN', eps=1e-3, momentum=.01),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(init_cfg)
        channels = sum(in_channels)
        self.gate = nn.Conv2d(channels, channels, 1) if gate else None
        self.conv = ConvModule(
            channels, out_channels, 3, padding=1, norm_cfg=norm_cfg)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Fuse maps (B, C_i, H, W) to one (B, C, H, W)."""
        x = torch.cat(list(maps), 1)
        if self.gate is not None:
            x = x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()
        return self.conv(x)
