"""Weights that change with the iteration."""
import math
from dataclasses import dataclass
from typing import Dict, Optional, Union

from mmkd.errors import ConfigError


@dataclass(frozen=True)
class Progress:
    """Progress of a training run.

    Attributes:
        iter (int): Number of completed iterations.
        max_iters (int, optional): Iterations of the whole run; None if
            unknown.
    """
    iter: int = 0
    max_iters: Optional[int] = None


@dataclass(frozen=True)
class WeightSchedule:
    """A loss weight as a function of the training iteration.

    The weight is 0 before ``begin``, rises linearly to ``value`` over
    ``warmup``, stays there until ``decay_begin``, falls to ``final`` at
    ``end`` along ``decay``, and keeps ``final`` from then on. Times are
    iterations; a float in (0, 1] is a fraction of the whole run.

    Args:
        value (float): The weight after warm-up, at least 0.
        begin (int | float): First iteration with a weight. Defaults to 0.
        warmup (int | float): Length of the linear rise. Defaults to 0.
        decay (str, optional): ``'linear'``, ``'cosine'`` or ``'step'`` (full
            weight until ``end``, then ``final``). None means no decay.
            Defaults to None.
        decay_begin (int | float): Where the decay starts. Defaults to 0.
        end (int | float): Where the decay ends. Defaults to 1.0, the end of
            the run.
        final (float): The weight from ``end`` on. Defaults to 0.

    Raises:
        ConfigError: If a weight is negative or not finite, or if a name or a
            time is invalid.

    Examples:
        >>> weight = WeightSchedule(10., warmup=100)
        >>> weight(Progress(0, 1000)), weight(Progress(50, 1000))
        (0.0, 5.0)
        >>> weight = WeightSchedule(10., decay='linear', decay_begin=0.5)
        >>> weight(Progress(499, 1000)), weight(Progress(750, 1000))
        (10.0, 5.0)
    """
    value: float = 1.0
    begin: Union[int, float] = 0
    warmup: Union[int, float] = 0
    decay: Optional[str] = None
    decay_begin: Union[int, float] = 0
    end: Union[int, float] = 1.0
    final: float = 0.0

    def __post_init__(self) -> None:
        for name in ('value', 'final'):
            weight = getattr(self, name)
            if isinstance(weight,
                          bool) or not isinstance(weight, (int, float)):
                raise ConfigError(f'a loss weight is a number or a schedule, '
                                  f'but {name}={weight!r}')
            if not math.isfinite(weight) or weight < 0:
                raise ConfigError('a loss weight must be finite and at least '
                                  f'0, but {name}={weight!r}')
        if self.decay not in (None, 'linear', 'cosine', 'step'):
            raise ConfigError("decay is 'linear', 'cosine', 'step' or None, "
                              f'but got {self.decay!r}')
        for name in ('begin', 'warmup', 'decay_begin', 'end'):
            time = getattr(self, name)
            if isinstance(time, bool) or not isinstance(time, (int, float)):
                raise ConfigError(f'{name} must be a number of iterations or '
                                  f'a fraction of the run, but got {time!r}')
            if time < 0 or (isinstance(time, float) and time > 1):
                raise ConfigError(
                    f'{name}={time!r}: iterations are integers >= 0, '
                    f'fractions '
                    'of the run floats in [0, 1]')
        # Iterations and fractions can be compared once the length is known.
        if self.decay in ('linear', 'cosine') and type(
                self.decay_begin) is type(
                    self.end) and self.decay_begin >= self.end:
            raise ConfigError(f'a decay must end after it begins, but '
                              f'decay_begin={self.decay_begin!r} and '
                              f'end={self.end!r}')

    @property
    def peak(self) -> float:
        """The largest weight of the run."""
        return float(max(self.value, self.final) if self.decay else self.value)

    def needs_length(self) -> bool:
        """Whether a time is a fraction of the run, which needs its length."""
        times = [self.begin, self.warmup]
        if self.decay:
            times += [self.decay_begin, self.end]
        return any(isinstance(time, float) and time > 0 for time in times)

    def __call__(self, progress: Progress) -> float:
        """The weight at ``progress``."""
        length = progress.max_iters
        if self.needs_length() and not length:
            raise ConfigError(
                'a weight schedule in fractions of the run needs the length '
                'of '
                'the run, which is not known here; give iterations instead')

        def in_iters(time: Union[int, float]) -> float:
            if length and isinstance(time, float) and time > 0:
                return time * length
            return time

        now, begin = progress.iter, in_iters(self.begin)
        if now < begin:
            return 0.0
        warmup = in_iters(self.warmup)
        if now < begin + warmup:
            return self.value * (now - begin) / warmup
        if self.decay is None:
            return float(self.value)
        start, end = in_iters(self.decay_begin), in_iters(self.end)
        if now >= end:
            return float(self.final)
        if self.decay == 'step' or now < start:
            return float(self.value)
        done = (now - start) / (end - start)
        if self.decay == 'cosine':
            done = 0.5 - 0.5 * math.cos(math.pi * done)
        return self.value + (self.final - self.value) * done


WeightLike = Union[float, Dict, WeightSchedule]


def build_weight(weight: WeightLike) -> WeightSchedule:
    """Make a schedule from a number, a dict of arguments, or a schedule.

    Raises:
        ConfigError: If an argument is unknown or out of its range.
    """
    if isinstance(weight, WeightSchedule):
        return weight
    if isinstance(weight, dict):
        known = WeightSchedule.__dataclass_fields__
        unknown = [key for key in weight if key not in known]
        if unknown:
            raise ConfigError(f'unknown argument {unknown[0]!r} of a weight '
                              f'schedule; it takes {", ".join(known)}')
        return WeightSchedule(**weight)
    return WeightSchedule(weight)
