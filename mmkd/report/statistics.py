"""Gains over seeds, and what may be said about them."""
import math
from dataclasses import dataclass
from typing import Dict, Optional

#: Quantiles 0.975 of Student's t by degrees of freedom.
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)


@dataclass(frozen=True)
class Gain:
    """The mean difference between two groups of runs.

    Attributes:
        mean (float): Mean difference.
        error (float | None): Its standard error. None for a single pair.
        seeds (int): Number of differences; of unpaired runs, the smaller
            number of runs.
        paired (bool): Whether runs of the same seed were subtracted.
    """
    mean: float
    error: Optional[float]
    seeds: int
    paired: bool

    @property
    def significant(self) -> bool:
        """Whether the 95 % confidence interval (Student's t) excludes 0."""
        if self.error is None:
            return False
        t = _T[self.seeds - 2] if self.seeds - 2 < len(_T) else 2.0
        return abs(self.mean) > t * self.error


def gain(base: Dict[Optional[int], float], other: Dict[Optional[int],
                                                       float]) -> Gain:
    """Compare values by seed.

    Runs with equal seeds are subtracted. If no seeds are equal, the means
    are.

    Args:
        base (dict[int | None, float]): Value of each seed.
        other (dict[int | None, float]): The same of the other group.
    """
    common = [seed for seed in other if seed in base and seed is not None]
    if common:
        differences = [other[seed] - base[seed] for seed in common]
        return Gain(_mean(differences), _error(differences), len(common), True)
    values = list(base.values()), list(other.values())
    errors = [_error(part) for part in values]
    return Gain(
        _mean(values[1]) - _mean(values[0]),
        None if None in errors else math.hypot(*errors), min(map(len, values)),
        False)


def _mean(values: list) -> float:
    return sum(values) / len(values)


def _error(values: list) -> Optional[float]:
    """Standard error of the mean; None for a single value."""
    if len(values) < 2:
        return None
    mean = _mean(values)
    variance = sum((value - mean)**2 for value in values) / (len(values) - 1)
    return math.sqrt(variance / len(values))
