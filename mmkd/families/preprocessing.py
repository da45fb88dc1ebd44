"""Normalisation and preprocessing of a network's batch."""
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmkd.ops.constants import constant


@dataclass(frozen=True)
class ImageNorm:
    """Image normalisation and padding of a network.

    Attributes:
        mean (tuple[float]): Mean of each channel (pixels from 0 to 255), in
            the network's channel order.
        std (tuple[float]): Standard deviation of each channel.
        flip_channels (bool): Whether the loaded channel order is reversed.
        pad_value (float): Value of padded pixels, after normalisation.
        divisor (int): Height and width must be a multiple of it, in pixels.
    """
    mean: Tuple[float, ...]
    std: Tuple[float, ...]
    flip_channels: bool = False
    pad_value: float = 0.0
    divisor: int = 1

    def convert(self, images: Tensor, source: 'ImageNorm',
                sizes: List[Tuple[int, int]]) -> Tensor:
        """Renormalise images that were prepared for another network.

        The geometry, including every augmentation, does not change.

        Args:
            images (Tensor): Images of the other network, (N, C, H, W).
            source (ImageNorm): Normalisation of the other network.
            sizes (list[tuple[int, int]]): Height and width of the part of
                each image that is not padding.

        Returns:
            Tensor: (N, C, H', W'), padded right and below to the divisor.
        """

        def row(values: Tuple[float, ...]) -> Tensor:
            # float64, so that scale and shift are rounded only once.
            return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)

        mean_s, std_s = row(source.mean), row(source.std)
        if self.flip_channels != source.flip_channels:
            images, mean_s, std_s = (images.flip(1), mean_s.flip(1),
                                     std_s.flip(1))
        mean, std = row(self.mean), row(self.std)
        scale, shift = std_s / std, (mean_s - mean) / std
        # Copied to the device once: a copy in each step would make it wait.
        factor, offset = (
            constant(tuple(x.flatten().tolist()), images).view(1, -1, 1, 1)
            for x in (scale, shift))
        images = torch.addcmul(offset, images, factor)
        height, width = images.shape[-2:]
        for image, (h, w) in zip(images, sizes):
            if h < height:
                image[:, h:] = self.pad_value
            if w < width:
                image[:, :, w:] = self.pad_value
        below, right = -height % self.divisor, -width % self.divisor
        if below or right:
            images = F.pad(images, (0, right, 0, below), value=self.pad_value)
        return images


def read_image_norm(preprocessor: Any) -> Optional[ImageNorm]:
    """Extract the normalisation from a preprocessor of the libraries.

    Returns:
        ImageNorm | None: None if the preprocessor is of another kind.
    """
    flip = getattr(preprocessor, 'channel_conversion',
                   getattr(preprocessor, '_channel_conversion', None))
    normalises = getattr(preprocessor, '_enable_normalize', None)
    if preprocessor is None or flip is None or normalises is None:
        return None
    if normalises:
        mean = tuple(preprocessor.mean.flatten().tolist())
        std = tuple(preprocessor.std.flatten().tolist())
    else:
        mean, std = (0.0, ), (1.0, )
    pad_value = getattr(preprocessor, 'pad_val',
                        getattr(preprocessor, 'pad_value', 0))
    divisor = getattr(preprocessor, 'size_divisor',
                      getattr(preprocessor, 'pad_size_divisor', 1))
    return ImageNorm(mean, std, bool(flip), float(pad_value), int(divisor
                                                                  or 1))


def read_settings(preprocessor: Optional[nn.Module]) -> Dict[str, Any]:
    """All settings of a preprocessor that affect a training batch, except
    random ones."""
    if preprocessor is None:
        return {}
    left_out = ('training', 'size', 'batch_augments', 'test_cfg')
    own = {
        name: repr(value)
        for name, value in vars(preprocessor).items()
        if not name.startswith('_') and name not in left_out
    }
    parts = {name: repr(x) for name, x in preprocessor.named_children()}
    return {
        **own,
        **parts, 'type': type(preprocessor),
        'norm': read_image_norm(preprocessor)
    }
