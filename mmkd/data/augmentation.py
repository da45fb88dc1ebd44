"""Augmentation of images without labels."""
from typing import Tuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mmkd.errors import ConfigError
from mmkd.registry import TRANSFORMS


@TRANSFORMS.register_module()
class RandomResizedCrop(BaseTransform):
    """Cut out a random rectangle and resize it.

    As in torchvision and LightlyTrain: up to ten draws of an area and of the
    logarithm of an aspect ratio; if none fits, the largest centred rectangle
    of an admissible ratio.

    Required and modified keys: ``img``, ``img_shape``.

    Args:
        size (int | tuple[int, int]): Height and width of the result in
            pixels.
        scale (tuple[float, float]): Range of the area, as a share of the
            image's. Defaults to (0.14, 1.0), LightlyTrain's.
        ratio (tuple[float, float]): Range of width / height. Defaults to
            (3/4, 4/3).
    """

    def __init__(
        self,
        size,
        scale: Tuple[float, float] = (0.14, 1.0),
        ratio: Tuple[float, float] = (3 / 4, 4 / 3)
    ) -> None:
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        if not 0 < scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise ConfigError('RandomResizedCrop: scale and ratio are ranges '
                              f'of positive numbers, not {scale} and {ratio}')
        self.scale, self.ratio = scale, ratio

    def transform(self, results: dict) -> dict:
        """Cut and resize the image."""
        image = results['img']
        top, left, height, width = self._rectangle(*image.shape[:2])
        image = image[top:top + height, left:left + width]
        # The mean of the pixels that a cell covers, where it shrinks.
        way = cv2.INTER_AREA if height >= self.size[0] else cv2.INTER_LINEAR
        image = cv2.resize(image, self.size[::-1], interpolation=way)
        return dict(results, img=image, img_shape=image.shape[:2])

    def _rectangle(self, height: int, width: int) -> Tuple[int, int, int, int]:
        logs = np.log(self.ratio)
        for _ in range(10):
            area = height * width * np.random.uniform(*self.scale)
            ratio = np.exp(np.random.uniform(*logs))
            own_width = int(round((area * ratio)**0.5))
            own_height = int(round((area / ratio)**0.5))
            if 0 < own_width <= width and 0 < own_height <= height:
                top = np.random.randint(0, height - own_height + 1)
                left = np.random.randint(0, width - own_width + 1)
                return top, left, own_height, own_width
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        own_width = min(width, max(1, int(round(height * ratio))))
        own_height = min(height, max(1, int(round(width / ratio))))
        return ((height - own_height) // 2, (width - own_width) // 2,
                own_height, own_width)


@TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """Change brightness, contrast, saturation and hue, in random order.

    Factors are uniform in ``[1 - x, 1 + x]``, the shift of the hue in
    ``[-hue, hue]`` turns. The defaults are LightlyTrain's.

    Required and modified key: ``img``, BGR of uint8.

    Args:
        prob (float): Probability of any change. Defaults to 0.8.
        brightness (float): Defaults to 0.4.
        contrast (float): Blend with the mean grey value. Defaults to 0.4.
        saturation (float): Blend with the grey image. Defaults to 0.2.
        hue (float): At most 0.5. Defaults to 0.1.
    """

    def __init__(self,
                 prob: float = 0.8,
                 brightness: float = 0.4,
                 contrast: float = 0.4,
                 saturation: float = 0.2,
                 hue: float = 0.1) -> None:
        if not 0 <= hue <= 0.5 or not all(
                0 <= x <= 1 for x in (prob, brightness, contrast, saturation)):
            raise ConfigError('ColorJitter: prob and ranges are in [0, 1], '
                              'and hue in [0, 0.5]')
        self.prob = prob
        self.ranges = dict(
            brightness=brightness, contrast=contrast, saturation=saturation)
        self.hue = hue

    def transform(self, results: dict) -> dict:
        """Change the colours of the image."""
        if np.random.random() >= self.prob:
            return results
        image = results['img'].astype(np.float32)
        for name in np.random.permutation([*self.ranges, 'hue']):
            if name == 'hue':
                turn = np.random.uniform(-self.hue, self.hue)
                hsv = cv2.cvtColor(image / 255, cv2.COLOR_BGR2HSV)
                hsv[..., 0] = (hsv[..., 0] + 360 * turn) % 360
                image = 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)
                continue
            reach = self.ranges[name]
            factor = np.random.uniform(1 - reach, 1 + reach)
            image = factor * image + (1 - factor) * _blended(image, name)
            image = image.clip(0, 255).astype(np.float32)
        return dict(results, img=image.round().astype(np.uint8))


def _blended(image: np.ndarray, name: str):
    """What an image is blended with."""
    if name == 'brightness':
        return 0.
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return grey.mean() if name == 'contrast' else grey[..., None]
