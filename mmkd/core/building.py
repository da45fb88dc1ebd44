"""Building and connecting the parts of a distillation model."""
import copy
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from mmengine.registry import DefaultScope
from torch import nn

from mmkd.core.balance import GradientBalance
from mmkd.core.cache.keys import weights_hash
from mmkd.core.distiller import Distiller
from mmkd.core.gradient_share import GradientShare
from mmkd.core.step import TapPlan, resolve_taps
from mmkd.core.taps.dry_run import DryRun, dry_run
from mmkd.core.taps.tap import Tap, TapSpec
from mmkd.core.teacher import Teacher
from mmkd.errors import ConfigError, MismatchError
from mmkd.families import family_of
from mmkd.families.roi_heads import roi_head_of
from mmkd.registry import DISTILLERS
from mmkd.utils.arguments import construct
from mmkd.utils.devices import on_device, training_device
from mmkd.utils.suggestions import did_you_mean


def build_teacher(name: str, teacher: Union[dict, Teacher]) -> Teacher:
    """Build a teacher.

    Args:
        name (str): Its name in the config.
        teacher (dict | Teacher): Arguments of :class:`Teacher`, or a built
            teacher.

    Raises:
        ConfigError: If an argument is wrong, or a built teacher has another
            name.
    """
    if isinstance(teacher, Teacher):
        if teacher.name != name:
            raise ConfigError(f'teacher {name!r} was built with the name '
                              f'{teacher.name!r}; build it with '
                              f'Teacher(..., name={name!r})')
        return teacher
    if not isinstance(teacher, dict):
        raise ConfigError(f'`teachers`: {name!r} is a dict, such as dict(cfg='
                          f"'mmseg::...', ckpt='file.pth'), not "
                          f'{teacher!r}')
    return construct(Teacher, {'name': name, **teacher}, f'teacher {name!r}')


def build_distiller(name: str, distiller: Union[dict,
                                                Distiller], student: nn.Module,
                    teachers: Mapping[str, Teacher]) -> Distiller:
    """Build a distiller.

    Args:
        name (str): Its name in the config.
        distiller (dict | Distiller): Type and arguments, or a built
            distiller. Arguments that the networks settle may be left out.
        student (nn.Module): The student.
        teachers (Mapping[str, Teacher]): The teachers by name.

    Raises:
        ConfigError: If there is no such method, or an argument is wrong.
    """
    if isinstance(distiller, Distiller):
        return distiller
    if not isinstance(distiller, dict) or 'type' not in distiller:
        raise ConfigError(f'distiller {name!r} needs a `type`, such as '
                          "dict(type='BPKD')")
    kind = distiller['type']
    if isinstance(kind, str):
        with DefaultScope.overwrite_default_scope('mmkd'):
            cls = DISTILLERS.get(kind)
        if cls is None:
            known = sorted(DISTILLERS.module_dict)
            hint = did_you_mean(kind, known)
            raise ConfigError(f'distiller {name!r}: there is no method '
                              f'{kind!r}. {hint} Known: {", ".join(known)}')
    else:
        cls = kind
    arguments = {k: v for k, v in distiller.items() if k != 'type'}
    networks = {key: teacher.network for key, teacher in teachers.items()}
    settled = cls.settled_options(
        family_of(student).traits(student), {
            key: family_of(net).traits(net)
            for key, net in networks.items()
        })
    return construct(cls, {**settled, **arguments}, f'distiller {name!r}')


def plan_taps(distillers: Mapping[str, Distiller], student: nn.Module,
              teachers: Mapping[str, Teacher], size: Tuple[int, int],
              raw: Optional[dict]) -> Tuple[TapPlan, Dict[str, DryRun]]:
    """Run each network once, and plan the taps from their outputs.

    They run on the device that trains, since some operators exist only there,
    and are moved back.

    Args:
        distillers (Mapping[str, Distiller]): All distillers by name.
        student (nn.Module): The student; a copy of it runs.
        teachers (Mapping[str, Teacher]): The teachers by name.
        size (tuple[int, int]): Height and width in pixels of the synthetic
            image.
        raw (dict, optional): A batch of the data loader to use instead of the
            synthetic one.

    Returns:
        tuple[TapPlan, dict[str, DryRun]]: The taps, and the dry run of each
        teacher by name; the student's name is ``''``.
    """
    plan = TapPlan(*resolve_taps(distillers, student, teachers), {}, {})
    names = list(distillers)

    def prepared(network: nn.Module, data: Optional[dict]) -> Optional[dict]:
        preprocessor = family_of(network).preprocessor(network)
        return None if data is None else preprocessor(data, True)

    # A copy, since a network may keep counters.
    student = copy.deepcopy(student)
    device = training_device()
    lacks_tensor = family_of(student).frozen_mode(student) != 'tensor'
    with on_device(student, device):
        runs = {
            '':
            dry_run(
                student,
                plan.student_taps(names),
                'the student', ('loss', ) if lacks_tensor else
                ('loss', 'tensor'),
                size,
                prepared(student, raw),
                training=True)
        }
    for name, teacher in teachers.items():
        data = raw if raw is None else teacher.own_data(raw)
        with on_device(teacher.network, teacher.device or device):
            runs[name] = dry_run(teacher.network,
                                 plan.teacher_taps(name,
                                                   names), f'teacher {name!r}',
                                 teacher.trial_modes, size,
                                 prepared(teacher.network, data))
    return plan.after(runs.values()), runs


def set_up_distillers(distillers: Mapping[str, Distiller], plan: TapPlan,
                      student: nn.Module, teachers: Mapping[str, Teacher],
                      label_free: bool) -> None:
    """Set up each distiller with the shapes of its taps.

    Without labels, automatic weights compare the methods with each other, and
    the ratio that suits the student's task is not used.

    Raises:
        MismatchError: If student and teachers do not match; the message names
            the distiller.
    """
    for name, distiller in distillers.items():
        try:
            if distiller.needs_head:
                _check_heads('detection_head', plan, name, student, teachers)
            if distiller.dense_heads:
                own = _check_heads('dense_head', plan, name, student, teachers)
                if own.name not in distiller.dense_heads:
                    raise ConfigError(
                        f'{type(distiller).__name__} works with the heads of '
                        f'{", ".join(distiller.dense_heads)}, but the student '
                        f'has a {type(own.head).__name__}')
            if distiller.needs_rois:
                _check_heads('roi_head', plan, name, student, teachers)
            specs_s, specs_t = plan.specs_of(name)
            if distiller.needs_weights_hash:
                specs_t = _with_hashes(specs_t, teachers)
            distiller.setup(specs_s, specs_t)
            _settle(distiller.balance, student, plan.student_taps([name]),
                    label_free)
        except ConfigError as error:
            raise MismatchError(f'distiller {name!r}: {error}') from None


def _with_hashes(specs: Dict[str, List[TapSpec]],
                 teachers: Mapping[str, Teacher]) -> Dict[str, List[TapSpec]]:
    """Specs of teachers' taps with the hash of the network's weights."""
    hashes: Dict[Optional[str], str] = {}
    for name in {x.network for levels in specs.values() for x in levels}:
        with teachers[name or ''].as_loaded() as network:
            hashes[name] = weights_hash(network)
    return {
        role: [replace(x, weights_hash=hashes[x.network]) for x in levels]
        for role, levels in specs.items()
    }


def _check_heads(kind: str, plan: TapPlan, distiller: str, student: nn.Module,
                 teachers: Mapping[str, Teacher]) -> Any:
    """Check that the heads of both networks use the same encoding.

    Args:
        kind (str): Name of the function of the family that gives them.

    Returns:
        Head: The student's.
    """

    def head(network: nn.Module, name: str) -> Any:
        if kind == 'roi_head':
            return roi_head_of(network, name, single=network is student)
        return getattr(family_of(network), kind)(network, name)

    own = head(student, 'the student')
    taps = sum(plan.teacher[distiller].values(), [])
    for name in sorted({tap.network for tap in taps if tap.network}):
        own.check_same_code(
            head(teachers[name].network, f'teacher {name!r}'), name)
    return own


def _settle(balance: Union[GradientBalance, GradientShare, None],
            student: nn.Module, taps: Sequence[Tap], label_free: bool) -> None:
    """Complete what finds the weight of a method by the student."""
    if isinstance(balance, GradientShare):
        if label_free:
            raise ConfigError(
                "loss_weight with type='gam' holds the method's share beside "
                'the task loss, which a run without labels does not have; '
                "give a number or 'auto'")
        balance.settle(student, [tap.module for tap in taps])
    elif balance is not None and not label_free:
        balance.settle(family_of(student).auto_ratio)
