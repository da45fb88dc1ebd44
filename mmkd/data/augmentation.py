"""Augmentation of images without labels."""
from typing import Any, Sequence

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import pseudo_collate
from torchvision.transforms import v2

from mmkd.errors import ConfigError
from mmkd.registry import FUNCTIONS, TRANSFORMS
from mmkd.utils.suggestions import did_you_mean


@TRANSFORMS.register_module()
class TorchVision(BaseTransform):
    """Apply a transform of ``torchvision.transforms.v2`` to the image alone.

    Required and modified keys: ``img``, BGR of uint8 (H, W, 3), which the
    transform gets as RGB; ``img_shape``.

    Args:
        name (str): Its class, such as ``'RandomResizedCrop'``.
        **kwargs: Its arguments.

    Raises:
        ConfigError: If there is no such class, or it refuses an argument.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        cls = getattr(v2, name, None)
        if not isinstance(cls, type):
            raise ConfigError(f'torchvision has no transform {name!r}. '
                              f'{did_you_mean(name, dir(v2))}')
        try:
            self.apply = cls(**kwargs)
        except (TypeError, ValueError) as error:
            raise ConfigError(f'{name} of torchvision: {error}') from error

    def transform(self, results: dict) -> dict:
        """Apply it."""
        rgb = np.ascontiguousarray(results['img'][..., ::-1])
        image = self.apply(torch.from_numpy(rgb).permute(2, 0, 1))
        changed = np.ascontiguousarray(
            image.permute(1, 2, 0).numpy()[..., ::-1])
        return dict(results, img=changed, img_shape=changed.shape[:2])


@FUNCTIONS.register_module()
def mixup_collate(samples: Sequence[dict]) -> dict:
    """Make a batch of samples, and mix each image with another one of it.

    The share of the other images is uniform in [0, 1] and one for the batch.
    All networks get the mixed images; labels are not mixed.

    Args:
        samples (Sequence[dict]): ``inputs``, images (C, H, W) of equal size,
            and ``data_samples``.

    Returns:
        dict: As of mmengine's ``pseudo_collate``.
    """
    batch = pseudo_collate(samples)
    images = torch.stack(batch['inputs'])
    others = images[torch.randperm(len(images))]
    mixed = torch.lerp(images.float(), others.float(), torch.rand(()))
    return dict(batch, inputs=list(mixed.round().to(images.dtype)))
