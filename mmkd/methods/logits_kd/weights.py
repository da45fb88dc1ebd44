"""Weights of images and cells."""
import json
import math
from pathlib import PurePath
from typing import Any, Callable, Dict, Union

import torch
from torch import Tensor

from mmkd.core.batch import StepBatch
from mmkd.errors import ConfigError, DataError
from mmkd.registry import TASK_UTILS
from mmkd.utils.arguments import error_context
from mmkd.utils.devices import send

#: Where a data sample may say which one it is.
_NAMES = ('img_id', 'sample_idx', 'img_path', 'lidar_path')


def build_cell_weights(cfg: Union[dict, Callable, None]) -> Any:
    """Build a callable from a config, or return a given one.

    Raises:
        ConfigError: If it cannot be built.
    """
    if cfg is None or callable(cfg):
        return cfg
    with error_context('LogitsKD: cell_weights'):
        built = TASK_UTILS.build(cfg)
    if not callable(built):
        raise ConfigError('LogitsKD: cell_weights must be callable, but '
                          f'{cfg["type"]!r} gives a {type(built).__name__}')
    return built


@TASK_UTILS.register_module()
class InfluenceWeights:
    """Weights of images from their influence on the held-out loss.

    `Knowledge Distillation with Adapted Weight
    <https://arxiv.org/abs/2501.02705>`_ (KD-AIF), in the form of its released
    notebook: an influence :math:`I` becomes :math:`e^u` with :math:`u = 2 (I -
    \\min I) / (\\max I - \\min I) - 1`. How to compute influences is left to
    you.

    Args:
        file (str): A JSON file with a dict from each training image to its
            influence. An image is called by its ``img_id`` (mmdet),
            ``sample_idx`` (mmdet3d) or else its file name.

    Raises:
        ConfigError: If the file cannot be used.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        try:
            with open(file) as content:
                found = json.load(content)
            values = {key: float(value) for key, value in found.items()}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f'InfluenceWeights: {file} is no JSON file with '
                              f'a number for each image: {error}') from error
        if not values or not all(map(math.isfinite, values.values())):
            raise ConfigError(f'InfluenceWeights: {file} must hold finite '
                              'numbers, one for each image')
        low, high = min(values.values()), max(values.values())
        #: Weight of each image.
        self.weights: Dict[str, float] = {
            key:
            math.exp(2 * (x - low) / (high - low) - 1) if high > low else 1.
            for key, x in values.items()
        }

    def __call__(self, batch: StepBatch, logits_s: Tensor,
                 logits_t: Tensor) -> Tensor:
        """Weights of the images of a batch, (N, ).

        Raises:
            DataError: If the file lacks an image.
        """
        return send(
            torch.tensor([self._of(x) for x in batch.data_samples or []]),
            logits_s.device)

    def _of(self, sample: Any) -> float:
        names = [
            str(sample.metainfo[key]) for key in _NAMES
            if key in sample.metainfo
        ]
        for name in names:
            for key in (name, PurePath(name).name):
                if key in self.weights:
                    return self.weights[key]
        raise DataError(f'InfluenceWeights: {self.file} has no influence for '
                        f'the image {names[0] if names else "?"!r}')
