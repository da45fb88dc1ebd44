"""Checks that the methods on logits share."""
from typing import Sequence

from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError


def check_logits(method: str, student: Sequence[TapSpec],
                 teacher: Sequence[TapSpec]) -> None:
    """Check that the class scores of both sides can be compared.

    Args:
        method (str): Name of the method, for messages.
        student (Sequence[TapSpec]): The student's logits, one entry a level.
        teacher (Sequence[TapSpec]): The teacher's, as many.

    Raises:
        ConfigError: If one is no map, or if the classes differ in number.
    """
    for spec_s, spec_t in zip(student, teacher):
        for spec in (spec_s, spec_t):
            if len(spec.shape) != 4:
                raise ConfigError(
                    f'{method} compares maps (N, C, H, W), but '
                    f'{spec.path!r} gives the shape {spec.shape}')
        if spec_s.channels != spec_t.channels:
            raise ConfigError(
                f'{method} compares logits class by class, but the student '
                f'has {spec_s.channels} channels at {spec_s.path!r} and the '
                f'teacher {spec_t.channels} at {spec_t.path!r}. Take a '
                'teacher of the same classes, keep those of a larger set by '
                "`classes` of the teacher, or distil features: type='CWD' "
                "with place='stages'")


def check_tau(method: str, **taus: float) -> None:
    """Check that temperatures are positive.

    Args:
        method (str): Name of the method, for messages.
        taus (float): Temperatures by the name of their argument.

    Raises:
        ConfigError: If one is not.
    """
    for name, tau in taus.items():
        if not isinstance(tau, (int, float)) or not 0 < tau < float('inf'):
            raise ConfigError(f'{method}: {name} must be a positive number, '
                              f'but got {tau!r}')
