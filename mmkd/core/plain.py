"""What ``--fast`` does to a network that trains without a teacher."""
import logging
from typing import Any, Tuple, Union

import torch
from mmengine.logging import print_log
from torch import nn

from mmkd.core.compiling import BACKBONES, compile_student
from mmkd.core.layout import in_layout
from mmkd.core.speed import student_in_channels_last
from mmkd.core.taps import Tap
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.utils.devices import on_device, training_device
from mmkd.utils.rng import preserve_rng


def speed_up_plain(network: Any, channels_last: bool,
                   compile_backbone: Union[bool, str]) -> None:
    """Give a plain network the options of a distilled student, so that both
    train at the same speed.

    Its attributes ``channels_last`` and ``compiled`` say what was done.

    Args:
        network (nn.Module): A network of one of the libraries.
        channels_last (bool): Whether its 2D convolutions train in this memory
            format, unless that changes the features of a backbone.
        compile_backbone (bool | str): See
            :func:`~mmkd.core.compiling.compile_student`.

    Raises:
        ConfigError: If ``torch.compile`` has no such backend.
    """
    network.channels_last = channels_last and _in_channels_last(network)
    network.compiled = compile_student(network, [], compile_backbone)


def _in_channels_last(network: nn.Module) -> bool:
    """Store its convolutions in channels_last, if that is safe, and give it
    images in this format."""
    taps = [
        Tap(name, calls='all') for name in BACKBONES
        if isinstance(getattr(network, name, None), nn.Module)
    ]
    try:
        if not taps:
            raise ConfigError('it has no backbone to check this with')
        with preserve_rng(), on_device(network, training_device()):
            batch = family_of(network).example_batch(network, (128, 128))
    except Exception as error:  # of its preprocessor
        print_log(
            f'{type(network).__name__} stays as it is, without channels_last: '
            f'{error}', 'current', logging.WARNING)
        return False
    if not student_in_channels_last(network, taps, dict.fromkeys(taps, 1),
                                    batch):
        return False

    network.register_forward_pre_hook(_images_in_layout, with_kwargs=True)
    return True


def _images_in_layout(network: nn.Module, args: tuple,
                      kwargs: dict) -> Tuple[tuple, dict]:
    """Hook that gives a network its images in channels_last."""
    args = tuple(in_layout(arg, torch.channels_last) for arg in args)
    if 'inputs' in kwargs:
        inputs = in_layout(kwargs['inputs'], torch.channels_last)
        kwargs = dict(kwargs, inputs=inputs)
    return args, kwargs
