"""Label maps as a noisy channel of an image."""
from typing import Optional

import torch
from torch import Tensor

#: Standard deviation of the noise of a pixel.
PIXEL_STD = dict(random=0.03, fixed=0.02)
#: The published 100 is for pixels from 0 to 255. This is for images that are
#: divided by the standard deviations of ImageNet, 57.63 on average.
SCALE = 100 / 57.63


def class_code(num_slots: int,
               like: Tensor,
               code: str = 'random',
               generator: Optional[torch.Generator] = None) -> Tensor:
    """The value that stands for each class in each image.

    Args:
        num_slots (int): Number of classes and one for ignored pixels.
        like (Tensor): (N, ...), on the device of the code.
        code (str): ``'random'``: from a normal distribution for each image
            and class; ``'fixed'``: even steps from -1.1 to 1.0, the same for
            all images. Defaults to ``'random'``.
        generator (torch.Generator, optional): Of the random numbers.
            Defaults to None: the device's own.

    Returns:
        Tensor: (N, num_slots) in float32.
    """
    if code == 'random':
        return torch.randn((len(like), num_slots),
                           device=like.device,
                           generator=generator)
    steps = torch.linspace(-1.1, 1.0, num_slots, device=like.device)
    return steps.expand(len(like), num_slots)


@torch.no_grad()
def noisy_labels(labels: Tensor,
                 num_classes: int,
                 ignore_index: int = 255,
                 code: str = 'random',
                 scale: float = SCALE,
                 pixel_std: Optional[float] = None,
                 generator: Optional[torch.Generator] = None) -> Tensor:
    """Turn label maps into a channel that shows regions, not classes.

    Every class of an image has one value (:func:`class_code`), and every
    pixel has noise. Pixels that are ignored or of no class share a value.

    Args:
        labels (Tensor): Integer labels (N, H, W), which stay as they are.
        num_classes (int): Number of classes.
        ignore_index (int): Label of pixels to ignore. Defaults to 255.
        code (str): ``'random'`` or ``'fixed'``. Defaults to ``'random'``.
        scale (float): Factor of the channel. Defaults to :data:`SCALE`.
        pixel_std (float, optional): Standard deviation of the noise, before
            ``scale``. Defaults to None: 0.03 for random and 0.02 for fixed
            codes.
        generator (torch.Generator, optional): Of the random numbers.
            Defaults to None: the device's own.

    Returns:
        Tensor: (N, 1, H, W) in float32.
    """
    known = (labels >= 0) & (labels < num_classes) & (labels != ignore_index)
    slots = labels.long().masked_fill(~known, num_classes)
    values = class_code(num_classes + 1, labels, code, generator)
    channel = values.gather(1, slots.flatten(1)).view(slots.shape)
    noise = torch.randn(slots.shape, device=labels.device, generator=generator)
    pixel_std = PIXEL_STD[code] if pixel_std is None else pixel_std
    return scale * (channel + pixel_std * noise).unsqueeze(1)
