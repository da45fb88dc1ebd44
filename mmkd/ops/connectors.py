"""Connectors: maps from the student's features to the teacher's."""
from typing import Optional, Union

import torch.nn.functional as F
from mmcv.cnn import ConvModule
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmkd.errors import ConfigError
from mmkd.registry import MODELS


@MODELS.register_module()
class ConvConnector(ConvModule):
    """A convolution from the student's channels to the teacher's.

    Args:
        in_channels (int): Channels of the student's map.
        out_channels (int): Channels of the teacher's map.
        kernel_size (int): Odd size of the kernel; the padding keeps the size
            of the map. Defaults to 1.
        norm_cfg (dict, optional): Normalisation after it. Defaults to None.
        act_cfg (dict, optional): Activation after it. Defaults to None.
    """

    def __init__(self,
                 in_channels: int,
                 out_channels: int,
                 kernel_size: int = 1,
                 norm_cfg: Optional[dict] = None,
                 act_cfg: Optional[dict] = None) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            padding=kernel_size // 2,
            norm_cfg=norm_cfg,
            act_cfg=act_cfg)


def build_connector(cfg: Union[str, dict, None], in_channels: int,
                    out_channels: int) -> nn.Module:
    """Build a connector between two maps whose channels are known.

    Args:
        cfg (str | dict | None): ``'auto'`` is the identity if the channels
            are equal, otherwise a 1x1 convolution; None is always the
            identity; or the config of a registered module that takes
            ``in_channels`` and ``out_channels``.
        in_channels (int): Channels of the student's map.
        out_channels (int): Channels of the teacher's map.

    Returns:
        nn.Module: Maps (N, in_channels, ...) to (N, out_channels, ...).

    Raises:
        ConfigError: If the channels differ and ``cfg`` is None.
    """
    if cfg is None or (cfg == 'auto' and in_channels == out_channels):
        if in_channels != out_channels:
            raise ConfigError(
                f'the student has {in_channels} channels and the teacher '
                f"{out_channels}; connector='auto' adds a 1x1 convolution")
        return nn.Identity()
    if cfg == 'auto':
        return ConvConnector(in_channels, out_channels)
    if not isinstance(cfg, dict):
        raise ConfigError("connector is 'auto', None or a dict, but got "
                          f'{cfg!r}')
    cfg = dict(cfg, in_channels=in_channels, out_channels=out_channels)
    try:
        with DefaultScope.overwrite_default_scope('mmkd'):
            return MODELS.build(cfg)
    except (KeyError, TypeError) as error:
        raise ConfigError(f'cannot build the connector {cfg}: '
                          f'{str(error).splitlines()[0]}') from error


def match_size(feat: Tensor,
               like: Tensor,
               align_corners: bool = False) -> Tensor:
    """Resize a map bilinearly to the height and width of another.

    Args:
        feat (Tensor): (N, C, H, W).
        like (Tensor): (N, C', H', W').
        align_corners (bool): As in ``F.interpolate``. Defaults to False.

    Returns:
        Tensor: (N, C, H', W'); ``feat`` itself if it has that size.
    """
    if feat.shape[-2:] == like.shape[-2:]:
        return feat
    return F.interpolate(
        feat, like.shape[-2:], mode='bilinear', align_corners=align_corners)
