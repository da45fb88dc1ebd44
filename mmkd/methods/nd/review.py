"""Top-down fusion of the student's pyramid, of ReviewKD."""
from typing import List, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FusionBlock(nn.Module):
    """Mix a level with the coarser one, and map it to the teacher's.

    Args:
        in_channels (int): Channels of the student's level.
        mid_channels (int): Channels of what goes on to the next level.
        out_channels (int): Channels of the teacher's level.
        fuse (bool): Whether there is a coarser level.
    """

    def __init__(self, in_channels: int, mid_channels: int, out_channels: int,
                 fuse: bool) -> None:
        super().__init__()
        self.reduce = nn.Sequential(
            nn.Conv2d(in_channels, mid_channels, 1, bias=False),
            nn.BatchNorm2d(mid_channels))
        self.out = nn.Sequential(
            nn.Conv2d(mid_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels))
        self.gates = nn.Conv2d(2 * mid_channels, 2, 1) if fuse else None
        for conv in (self.reduce[0], self.out[0]):
            nn.init.kaiming_uniform_(conv.weight, a=1)

    def forward(self, feat: Tensor, coarser: Tensor) -> List[Tensor]:
        """The level for the teacher (N, C', H, W), and the next ``coarser``
        (N, M, H, W)."""
        feat = self.reduce(feat)
        if self.gates is not None:
            coarser = F.interpolate(coarser, feat.shape[2:])
            gates = self.gates(torch.cat([feat, coarser], 1)).sigmoid()
            feat = feat * gates[:, :1] + coarser * gates[:, 1:]
        return [self.out(feat), feat]


class ReviewFusion(nn.Module):
    """The blocks of all levels, from the coarsest to the finest.

    `Distilling Knowledge via Knowledge Review
    <https://arxiv.org/abs/2104.09044>`_ (Chen et al., CVPR 2021).

    Args:
        in_channels (Sequence[int]): Channels of the student's levels, the
            finest first.
        out_channels (Sequence[int]): Those of the teacher's.
    """

    def __init__(self, in_channels: Sequence[int],
                 out_channels: Sequence[int]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            FusionBlock(own, out_channels[-1], other, i + 1 < len(in_channels))
            for i, (own, other) in enumerate(zip(in_channels, out_channels)))

    def forward(self, feats: Sequence[Tensor]) -> List[Tensor]:
        """Maps of the student, the finest first, to maps for the teacher."""
        found: List[Tensor] = []
        coarser = feats[-1]
        for block, feat in zip(reversed(self.blocks), reversed(feats)):
            out, coarser = block(feat, coarser)
            found.insert(0, out)
        return found
