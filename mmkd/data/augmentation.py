"""Transforms of torchvision in the pipelines of OpenMMLab."""
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torchvision.transforms import v2

from mmkd.errors import ConfigError
from mmkd.registry import TRANSFORMS
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
