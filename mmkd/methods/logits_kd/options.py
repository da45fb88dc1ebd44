"""Reading and checking the options of LogitsKD."""
from typing import Any, Dict, Sequence, Tuple, Union

from torch import nn

from mmkd.core.schedule import (Progress, WeightLike, WeightSchedule,
                                build_weight)
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.methods.logits_kd.losses import DIVERGENCES, Divergence
from mmkd.methods.logits_kd.places import PLACES


def read_divergence(cfg: Union[str, dict]) -> Tuple[str, Dict[str, float]]:
    """Name of a divergence and its changed options, from a config."""
    options = dict(cfg) if isinstance(cfg, dict) else dict(type=cfg)
    name = options.pop('type', None)
    if name not in DIVERGENCES:
        raise ConfigError('LogitsKD: divergence must be one of '
                          f'{", ".join(DIVERGENCES)}, but got {name!r}')
    known = DIVERGENCES[name].options
    for key, value in options.items():
        if key not in known:
            raise ConfigError(
                f'LogitsKD: the divergence {name!r} has no option {key!r}; it '
                f'takes {", ".join(known) or "none"}')
        if not isinstance(value, (int, float)) or not value > 0:
            raise ConfigError(
                f'LogitsKD: {key} of {name!r} must be a positive '
                f'number, but got {value!r}')
    return name, options


def check_options(place: str, divergence: Divergence, **given: Any) -> None:
    """Check that the options suit the place and the divergence.

    Args:
        place (str): A key of :data:`PLACES`.
        divergence (Divergence): The divergence.
        given: Values of the other options; those that are not set are false.

    Raises:
        ConfigError: If one does not.
    """
    where = PLACES[place]
    if given['reduction'] not in (None, *where.reductions):
        raise ConfigError(
            f'LogitsKD: the reduction of {place!r} is '
            f'{" or ".join(where.reductions)}, not {given["reduction"]!r}')
    served = dict(
        aux_head=where.features is not None,
        valid_only=place in ('logits', 'dense_logits'),
        foreground_only=place != 'logits',
        reduction=not divergence.couples_cells,
        cell_weights=not divergence.couples_cells)
    for name, suits in served.items():
        if given[name] and not suits:
            what = (f'{divergence.terms.__name__!r}, which compares cells '
                    'with each other' if name in ('reduction', 'cell_weights')
                    else f'place={place!r}')
            raise ConfigError(f'LogitsKD: {name} is not for {what}')


def read_share(share: WeightLike) -> WeightSchedule:
    """The share of the teacher's logits, from a config.

    Raises:
        ConfigError: If it is invalid.
    """
    try:
        schedule = build_weight(share)
    except ConfigError as error:
        raise ConfigError(f'LogitsKD, teacher_share: {error}') from None
    if schedule.peak > 1:
        raise ConfigError('LogitsKD: teacher_share is 0 to 1, but its '
                          f'maximum is {schedule.peak}')
    return schedule


def share_at(schedule: WeightSchedule, progress: Progress) -> float:
    """The share at a time; the largest one outside of a run."""
    if schedule.needs_length() and not progress.max_iters:
        return schedule.peak
    return schedule(progress)


def build_aux_head(student: Sequence[TapSpec], teacher: Sequence[TapSpec],
                   kernel: int) -> nn.Conv2d:
    """A classifier of the student's features, the same for all levels.

    Args:
        student (Sequence[TapSpec]): Features (N, C, H, W) of each level.
        teacher (Sequence[TapSpec]): Class scores of each level.
        kernel (int): Its kernel, odd.

    Raises:
        ConfigError: If the levels differ in their channels.
    """
    sizes = {(x.channels, y.channels) for x, y in zip(student, teacher)}
    if len(sizes) > 1 or any(len(x.shape) != 4 for x in student):
        raise ConfigError(
            'LogitsKD: aux_head needs maps (N, C, H, W) with as many channels '
            f'in all levels, which {student[0].path!r} and '
            f'{teacher[0].path!r} are not')
    return nn.Conv2d(*sizes.pop(), kernel, padding=kernel // 2)
