"""A training step: its active distillers and teachers, and the weights."""
from dataclasses import dataclass, replace
from typing import (Callable, Dict, Iterable, List, Mapping, Optional,
                    Sequence, Tuple)

from mmengine.logging import MessageHub
from torch import Tensor, nn

from mmkd.core.distiller import Distiller
from mmkd.core.schedule import Progress
from mmkd.core.taps import Tap, TapSpec
from mmkd.core.taps.dry_run import DryRun
from mmkd.core.teacher import Teacher
from mmkd.errors import ConfigError
from mmkd.families.places import standard_taps

#: Taps by role.
Roles = Dict[str, List[Tap]]
#: Tensors by role, one per level.
Tensors = Dict[str, List[Tensor]]


@dataclass(frozen=True)
class Step:
    """One training iteration.

    Attributes:
        progress (Progress): Progress of the training.
        weights (Mapping[str, Mapping[str, float]]): Weight of each active
            term, by the name of its distiller; without inactive distillers.
        teachers (tuple[str]): The teachers that the active distillers read.
        measures_shares (bool): Whether the log gets the shares of the
            distillers in the gradients at the taps. Defaults to False.
    """
    progress: Progress
    weights: Mapping[str, Mapping[str, float]]
    teachers: Tuple[str, ...]
    measures_shares: bool = False


class TapPlan:
    """The taps of each distiller, and their specs.

    Args:
        student (dict[str, dict[str, list[Tap]]]): Taps of the student by
            distiller and role.
        teacher (dict[str, dict[str, list[Tap]]]): Taps of the teachers; each
            names its network.
        specs (dict[Tap, list[TapSpec]]): Specs of each tap from the dry run,
            one per level.
        counts (dict[Tap, int]): Number of times each tap fires in a forward
            pass.
    """

    def __init__(self, student: Dict[str, Roles], teacher: Dict[str, Roles],
                 specs: Dict[Tap, List[TapSpec]], counts: Dict[Tap,
                                                               int]) -> None:
        self.student = student
        self.teacher = teacher
        self.specs = specs
        self.counts = counts

    def after(self, runs: Iterable[DryRun]) -> 'TapPlan':
        """The plan with the results of dry runs; taps whose tensor is modified
        by a later layer copy it."""
        specs: Dict[Tap, List[TapSpec]] = {}
        counts: Dict[Tap, int] = {}
        copying: Dict[Tap, Tap] = {}
        for run in runs:
            for tap in run.specs:
                if tap in run.overwritten and tap.copy is None:
                    copying[tap] = replace(tap, copy=True)
                kept = copying.get(tap, tap)
                specs[kept], counts[kept] = run.specs[tap], run.counts[tap]

        def kept_taps(side: Dict[str, Roles]) -> Dict[str, Roles]:
            return {
                name: {
                    role: [copying.get(tap, tap) for tap in taps]
                    for role, taps in roles.items()
                }
                for name, roles in side.items()
            }

        return TapPlan(
            kept_taps(self.student), kept_taps(self.teacher), specs, counts)

    def student_taps(self, distillers: Sequence[str]) -> List[Tap]:
        """All taps of the student that these distillers read."""
        return _flat(self.student[name] for name in distillers)

    def teacher_taps(self, teacher: str,
                     distillers: Sequence[str]) -> List[Tap]:
        """All taps of a teacher that these distillers read."""
        return [
            tap for tap in _flat(self.teacher[name] for name in distillers)
            if tap.network == teacher
        ]

    def specs_of(
        self, distiller: str
    ) -> Tuple[Dict[str, List[TapSpec]], Dict[str, List[TapSpec]]]:
        """Specs of a distiller's taps by role: the student's and the
        teachers'."""
        return self._by_role(distiller, self.specs)

    def tensors_of(
            self, distiller: str,
            tensors: Dict[Tap, List[Tensor]]) -> Tuple[Tensors, Tensors]:
        """Tensors of a distiller's taps by role: the student's and the
        teachers'."""
        return self._by_role(distiller, tensors)

    def _by_role(self, distiller: str, levels: Dict[Tap, list]) -> tuple:
        return tuple({
            role: [level for tap in taps for level in levels[tap]]
            for role, taps in side[distiller].items()
        } for side in (self.student, self.teacher))


class StepPlanner:
    """Make the :class:`Step` of an iteration.

    Args:
        distillers (Mapping[str, Distiller]): All distillers by name.
        readers (Mapping[str, Sequence[str]]): The distillers that read each
            teacher, by the teacher's name.
    """

    def __init__(self, distillers: Mapping[str, Distiller],
                 readers: Mapping[str, Sequence[str]]) -> None:
        self._distillers = dict(distillers.items())
        self._readers = readers
        self._share_interval = 0

    def measure_shares(self, interval: int) -> None:
        """Measure the shares of the distillers at the first iteration and at
        the last one of each ``interval`` iterations."""
        self._share_interval = interval

    def now(self) -> Step:
        """The step of the runner's current iteration."""
        hub = MessageHub.get_current_instance()
        progress = Progress(
            int(hub.get_info('iter', 0) or 0), hub.get_info('max_iters', None))
        interval, at = self._share_interval, progress.iter
        return replace(
            self.at(progress),
            measures_shares=bool(interval)
            and (at == 0 or (at + 1) % interval == 0))

    def at(self, progress: Progress) -> Step:
        """The step at ``progress``."""
        return self._step(progress,
                          lambda distiller: distiller.term_weights(progress))

    def peak(self) -> Step:
        """A step with each term at its maximum weight of the run."""
        return self._step(Progress(0, None), Distiller.peak_weights)

    def watching(self) -> Step:
        """The step of this iteration with all distillers but no terms, for
        visualization."""
        return Step(self.now().progress, dict.fromkeys(self._distillers, {}),
                    tuple(self._readers))

    def _step(self, progress: Progress,
              weigh: Callable[[Distiller], Dict[str, float]]) -> Step:
        found = {
            name: weigh(distiller)
            for name, distiller in self._distillers.items()
        }
        weights = {name: terms for name, terms in found.items() if terms}
        return Step(
            progress, weights,
            tuple(teacher for teacher, readers in self._readers.items()
                  if any(name in weights for name in readers)))


def resolve_taps(
    distillers: Mapping[str, Distiller], student: nn.Module,
    teachers: Mapping[str,
                      Teacher]) -> Tuple[Dict[str, Roles], Dict[str, Roles]]:
    """Resolve the taps of each distiller.

    Taps that the config leaves out default to standard places, and each tap
    of a teacher gets the name of its network.

    Args:
        distillers (Mapping[str, Distiller]): All distillers by name.
        student (nn.Module): The student.
        teachers (Mapping[str, Teacher]): The teachers by name.

    Returns:
        tuple[dict, dict]: Taps of the student and of the teachers, by
        distiller and role.

    Raises:
        ConfigError: If a tap names an unknown network, or a network lacks a
            standard place.
    """
    found_s: Dict[str, Roles] = {}
    found_t: Dict[str, Roles] = {}
    for name, distiller in distillers.items():
        found_s[name] = {
            role: _student_taps(name, role, taps, student)
            for role, taps in distiller.student_taps.items()
        }
        found_t[name] = {
            role: _teacher_taps(name, role, taps, teachers)
            for role, taps in distiller.teacher_taps.items()
        }
    return found_s, found_t


def _student_taps(distiller: str, role: str, taps: Optional[List[Tap]],
                  student: nn.Module) -> List[Tap]:
    if taps is None:
        taps = [
            Tap.parse(tap)
            for tap in standard_taps(student, role, 'the student')
        ]
    for tap in taps:
        if tap.network not in (None, 'student'):
            raise ConfigError(f'distiller {distiller!r}: the student tap '
                              f'{tap.path!r} names another network')
    return list(taps)


def _teacher_taps(distiller: str, role: str, taps: Optional[List[Tap]],
                  teachers: Mapping[str, Teacher]) -> List[Tap]:
    only = next(iter(teachers)) if len(teachers) == 1 else (
        'teacher' if 'teacher' in teachers else None)
    resolved: List[Tap] = []
    for tap in taps or [Tap('', network=only)]:
        network = tap.network or only
        if not teachers:
            raise ConfigError(f'distiller {distiller!r} needs a teacher, but '
                              '`teachers` is empty')
        if network is None or network not in teachers:
            known = ', '.join(teachers)
            raise ConfigError(
                f'distiller {distiller!r} wants a teacher {network!r} for '
                f"{role!r}, but there is {known}; write taps as "
                "'<teacher>:<module>'" if network else
                f'distiller {distiller!r}: which teacher is meant for '
                f"{role!r}? Write taps as '<teacher>:<module>' with one of "
                f'{known}')
        places = [tap] if tap.module else [
            Tap.parse(place) for place in standard_taps(
                teachers[network].network, role, f'teacher {network!r}')
        ]
        resolved += [replace(place, network=network) for place in places]
    return resolved


def _flat(sides: Iterable[Roles]) -> List[Tap]:
    return [tap for roles in sides for taps in roles.values() for tap in taps]
