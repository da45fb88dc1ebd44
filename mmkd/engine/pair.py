"""Which methods can serve a student and its teachers."""
import logging
import math
import operator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import (Any, Dict, Iterator, List, Mapping, NamedTuple, Optional,
                    Tuple)

from mmengine.logging import MMLogger, print_log
from mmengine.registry import DefaultScope
from torch import nn

from mmkd.core.building import build_teacher
from mmkd.core.model import DistillationModel
from mmkd.core.network import NetworkLike, build_network
from mmkd.core.taps.dry_run import untouched
from mmkd.core.taps.tap import TapSpec
from mmkd.core.teacher import Teacher
from mmkd.errors import ConfigError, MMKDError
from mmkd.families import FoundationFamily, family_of, is_attention
from mmkd.families.places import standard_taps
from mmkd.registry import DISTILLERS
from mmkd.utils.rng import preserve_rng


class Preference(NamedTuple):
    """A method to prefer for a task.

    Attributes:
        method (str): Its name; ``'none'`` for the teacher's weights alone,
            where the student starts from them.
        reason (str): Why.
        options (Mapping[str, Any]): Options to start with, beside those with
            which it serves the pair; a dot leads into a dict.
    """
    method: str
    reason: str
    options: Mapping[str, Any] = {}


#: With the gradient of the task at its taps.
_BALANCED = {'loss_weight.type': 'auto', 'loss_weight.ratio': 1.}

#: The methods to prefer for each task, the best first; the evidence is in
#: docs/results.md.
PREFERENCES: Dict[str, Tuple[Preference, ...]] = {
    'segmentation': (
        Preference('TransKD', 'it is made for pyramids of transformers'),
        Preference('FeatureKD', 'it gained most at equal time', _BALANCED),
    ),
    'detection': (
        Preference('none', "the teacher's weights gained more without one"),
        Preference(
            'FeatureKD', 'it paid where the teacher had seen more images, '
            'and lost least elsewhere', _BALANCED),
    ),
    'LiDAR detection': (
        Preference('none', 'no method has made up for its slower steps'),
        Preference('PointDistiller',
                   'it compares graphs of voxels, cells or points'),
    ),
    'detection across sensors': (
        Preference('MonoTAKD', 'there is an assistant with cameras'),
        Preference('UniDistill', "it compares bird's-eye-view maps"),
    ),
    'teacher of features':
    (Preference('FeatureKD', 'the teacher has features, but no head'), ),
}


@dataclass(frozen=True)
class Fit:
    """Whether a method serves a pair.

    Attributes:
        method (str): Its name.
        options (dict): Options with which it was tried.
        reason (str): Why it does not serve the pair; ``''`` if it does.
    """
    method: str
    options: Dict[str, Any]
    reason: str = ''

    @property
    def command(self) -> str:
        """The method and its options, as ``mmkd distill`` takes them."""
        options = ' '.join(f'{key}={value}'
                           for key, value in self.options.items())
        name = self.method.lower()
        return f'{name} (--method-options {options})' if options else name

    def with_options(self, given: Mapping[str, Any]) -> Dict[str, Any]:
        """The options, some of which are replaced by given ones.

        A dict that is given with a type of its own replaces the whole dict.
        """
        replaced = tuple(key[:-4] for key in given if key.endswith('.type'))
        kept = {
            key: value
            for key, value in self.options.items()
            if not key.startswith(replaced)
        }
        return {**kept, **given}


class Pair:
    """A student and its teachers, built once to try methods on them.

    Args:
        student (str | dict | Config | nn.Module): As in
            :class:`DistillationModel`.
        teachers (dict[str, dict]): Arguments of :class:`Teacher` by name.
        dry_run_size (tuple[int, int]): As in :class:`DistillationModel`.

    Attributes:
        is_narrower (bool): Whether each part of the student has the layers of
            the same part of its only teacher, some with fewer channels.
        inherits (bool): Whether the student should start from the leading
            channels of its teacher: if it is narrower, none of its layers is
            attention, which :class:`~mmkd.core.narrowing.Narrowing` leaves,
            and its config loads no weights into a part of it.

    Raises:
        MMKDError: If a network cannot be built.
    """

    def __init__(
        self,
        student: NetworkLike,
        teachers: Dict[str, dict],
        dry_run_size: Tuple[int, int] = (128, 128)
    ) -> None:
        with preserve_rng(), quiet_log():
            self.student = build_network(student, 'the student')
            self.teachers = {
                name: build_teacher(name, teacher)
                for name, teacher in teachers.items()
            }
        self.dry_run_size = dry_run_size
        self._fits: Dict[str, Fit] = {}
        # Before a method changes the teachers' layers.
        self.is_narrower = _is_narrower(self.student, self.teachers)
        self.inherits = self.is_narrower and not (_loads_weights(
            self.student) or any(map(is_attention, self.student.modules())))

    @property
    def task(self) -> str:
        """A key of :data:`PREFERENCES`; ``''`` for an unknown family."""
        if self.teachers and all(
                isinstance(family_of(teacher.network), FoundationFamily)
                for teacher in self.teachers.values()):
            return 'teacher of features'
        family = family_of(self.student)
        if family.name in ('mmseg', 'mmdet'):
            return dict(mmseg='segmentation', mmdet='detection')[family.name]
        sensors = family.traits(self.student).get('sensors')
        if sensors is None:
            return ''
        others = {
            family_of(teacher.network).traits(teacher.network).get('sensors')
            for teacher in self.teachers.values()
        }
        return ('LiDAR detection' if others == {sensors} == {'lidar'} else
                'detection across sensors')

    def build(
            self,
            method: str,
            options: Optional[Mapping[str, Any]] = None) -> DistillationModel:
        """Build the model of a method, from these networks.

        Args:
            method (str): Its registered name.
            options (Mapping[str, Any], optional): Its arguments. Defaults to
                None.

        Raises:
            MMKDError: If the method cannot serve the pair.
        """
        distiller = dict(type=method, **(options or {}))
        with preserve_rng(), quiet_log():
            return DistillationModel(self.student, self.teachers,
                                     {method.lower(): distiller},
                                     self.dry_run_size)

    def label_free_taps(
            self,
            options: Optional[Mapping[str,
                                      Any]] = None) -> Optional[List[str]]:
        """Taps of the student for FeatureKD without labels.

        They are the last stage of its backbone, on which all of its weights
        depend, and the one whose stride is nearest to the teacher's.

        Args:
            options (Mapping[str, Any], optional): Other arguments of
                FeatureKD, such as the teacher's taps. Defaults to None.

        Returns:
            list[str] | None: One or two; None if a teacher has a head, if the
            strides are not known, or if the options do not serve the pair.
        """
        if self.task != 'teacher of features':
            return None
        try:
            stages = standard_taps(self.student, 'stages', 'the student')
            plan = self.build('FeatureKD', {
                **(options or {}), 'student': stages
            }).taps
        except MMKDError:
            return None
        own, theirs = (x['features'] for x in plan.specs_of('featurekd'))

        def difference(stage: TapSpec) -> float:
            return abs(math.log((stage.stride or 1) / theirs[-1].stride))

        if not all(spec.stride for spec in (*own, *theirs)):
            return None
        nearest = min(reversed(own), key=difference)
        return list(dict.fromkeys([nearest.path, own[-1].path]))

    def fit(self, method: str) -> Fit:
        """Try a method with its :attr:`~mmkd.core.Distiller.trials`."""
        if method not in self._fits:
            self._fits[method] = self._fit(method)
        return self._fits[method]

    def _fit(self, method: str) -> Fit:
        reasons = []
        for options in methods()[method].trials:
            try:
                self._try_losses(self.build(method, options))
                return Fit(method, dict(options))
            except MMKDError as error:
                reasons.append(str(error))
            except Exception as error:  # one method must not hide the others
                reasons.append(f'{type(error).__name__}: {error}')
        return Fit(method, {}, _without_name(reasons[0], method))

    def _try_losses(self, model: DistillationModel) -> None:
        """Compute the losses on synthetic data, whose ground truth is that of
        the student's library.

        Raises:
            MMKDError: If the method needs other ground truth.
        """
        own, *others = [
            family_of(network).example_batch(network, self.dry_run_size)
            for network in (self.student,
                            *(teacher.network
                              for teacher in self.teachers.values()))
        ]
        try:
            with preserve_rng(), untouched(model):
                model(
                    **own,
                    mode='loss',
                    teacher_batches=dict(zip(self.teachers, others)),
                    step=model.planner.peak())
        except MMKDError:
            raise
        except Exception as error:
            # Real data may have what the synthetic ones lack.
            print_log(f'losses on synthetic data: {error!r}', 'current',
                      logging.DEBUG)

    def fits(self) -> List[Fit]:
        """Try all registered methods, the preferred ones first."""
        known = methods()
        preferred = [x.method for x in PREFERENCES.get(self.task, ())]
        return [
            self.fit(name) for name in dict.fromkeys([
                *[name for name in preferred if name in known], *sorted(known)
            ])
        ]

    def choose(self,
               labels: bool = True,
               inherits: bool = False) -> Tuple[Fit, str]:
        """The method to start with, and why.

        Args:
            labels (bool): Whether all images have labels; otherwise methods
                that need them are left out. Defaults to True.
            inherits (bool): Whether the student starts from the teacher's
                weights, so that ``'none'`` is a choice. Defaults to False.

        Raises:
            ConfigError: If none serves the pair.
        """

        def serves(name: str) -> bool:
            return labels or not methods()[name].needs_labels

        for name, reason, options in PREFERENCES.get(self.task, ()):
            if name == 'none':
                if inherits and labels:
                    return Fit(name, {}), f'{self.task}: {reason}'
            elif serves(name) and not self.fit(name).reason:
                fit = Fit(name, {**self.fit(name).options, **options})
                return fit, f'{self.task}: {reason}'
        fits = self.fits()
        found = [fit for fit in fits if not fit.reason and serves(fit.method)]
        if not found:
            raise ConfigError(
                'no method serves this student and its teacher as they are. '
                f'{fits[0].method}: {fits[0].reason}')
        return found[0], 'the methods that are usual for the task do not fit'


def _is_narrower(student: nn.Module, teachers: Mapping[str, Teacher]) -> bool:
    if len(teachers) != 1:
        return False
    teacher, = teachers.values()
    parts = dict(student.named_children())
    with teacher.as_loaded() as network:
        wide = {
            key: value.shape
            for key, value in network.state_dict().items()
            if key.split('.')[0] in parts
        }
    own = {key: value.shape for key, value in student.state_dict().items()}
    return own.keys() == wide.keys() and own != wide and all(
        len(shape) == len(wide[key])
        and all(map(operator.le, shape, wide[key]))
        for key, shape in own.items())


def _loads_weights(student: nn.Module) -> bool:
    """Whether the config of a part of a student names trained weights."""
    found = [getattr(module, 'init_cfg', None) for module in student.modules()]
    return any(
        cfg.get('type') == 'Pretrained' for part in found if part
        for cfg in (part if isinstance(part, list) else [part]))


def methods() -> Dict[str, type]:
    """All registered methods by name."""
    with DefaultScope.overwrite_default_scope('mmkd'):
        DISTILLERS.import_from_location()
    return DISTILLERS.module_dict


def _without_name(reason: str, method: str) -> str:
    """A reason without the name of the distiller, which is made up here."""
    return reason.replace(f'distiller {method.lower()!r}: ', '', 1)


@contextmanager
def quiet_log() -> Iterator[None]:
    """Keep what building logs, which concerns no run, out of the log."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
