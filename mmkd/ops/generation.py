"""Masked generation of the teacher's map, after MGD."""
from typing import Optional, Tuple

import torch
from torch import Tensor, nn

from mmkd.registry import MODELS


@MODELS.register_module()
class GenerationBlock(nn.Module):
    """Two 3x3 convolutions with a ReLU between them.

    The generation layer of `Masked Generative Distillation
    <https://arxiv.org/abs/2205.01529>`_, with PyTorch's default
    initialisation and biases as in the released code.

    Args:
        channels (int): Input and output channels.
        mid_channels (int, optional): Channels between the convolutions; a
            small number saves memory if ``channels`` is large. Defaults to
            None, which means ``channels``, as published.
    """

    def __init__(self,
                 channels: int,
                 mid_channels: Optional[int] = None) -> None:
        super().__init__()
        mid_channels = mid_channels or channels
        self.layers = nn.Sequential(
            nn.Conv2d(channels, mid_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid_channels, channels, 3, padding=1))

    def forward(self, feat: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, C, H, W)."""
        return self.layers(feat)


def random_cells(feat: Tensor, mask_ratio: float) -> Tensor:
    """Draw the cells of a map that are kept, the same for all channels.

    `Masked Generative Distillation <https://arxiv.org/abs/2205.01529>`_
    (ECCV 2022): each cell of each image is dropped with probability
    ``mask_ratio``. The random numbers come from torch's generator of the
    map's device. They are always float32, since half precision has too few
    values between 0 and 1.

    Args:
        feat (Tensor): Features (N, C, H, W).
        mask_ratio (float): Fraction of cells to drop, within [0, 1].

    Returns:
        Tensor: (N, 1, H, W) in the type of ``feat``; 1 where a cell is kept
        and 0 elsewhere.
    """
    return _draw(feat, (len(feat), 1, *feat.shape[2:]), mask_ratio)


def random_channels(feat: Tensor, mask_ratio: float) -> Tensor:
    """Draw the channels of a map that are kept, as MGD does for classifiers.

    Args:
        feat (Tensor): Features (N, C, H, W).
        mask_ratio (float): Fraction of channels to drop, within [0, 1].

    Returns:
        Tensor: (N, C, 1, 1) in the type of ``feat``; 1 where a channel is
        kept and 0 elsewhere.
    """
    return _draw(feat, (*feat.shape[:2], 1, 1), mask_ratio)


def _draw(feat: Tensor, shape: Tuple[int, ...], mask_ratio: float) -> Tensor:
    if not 0 <= mask_ratio <= 1:
        raise ValueError('mask_ratio is a share in [0, 1], but got '
                         f'{mask_ratio}')
    draw = torch.rand(shape, dtype=torch.float32, device=feat.device)
    return (draw < 1 - mask_ratio).to(feat.dtype)
