"""A block that reconstructs the teacher's map from a masked map."""
from typing import Optional

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
