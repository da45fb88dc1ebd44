"""The detection heads of a step, and comparing the outputs of two."""
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from torch import nn

from mmkd.core.distiller import Distiller
from mmkd.core.taps.tap import TapSpec
from mmkd.core.teacher import Teacher
from mmkd.errors import ConfigError
from mmkd.families import family_of
from mmkd.families.dense_heads import DenseHead
from mmkd.families.detection_heads import DetectionHead, HeadBranch
from mmkd.families.roi_heads import RoIHead, roi_head_of

#: A head whose assignment a step records.
RecordedHead = Union[DenseHead, RoIHead]


def recorded_head(student: nn.Module,
                  distillers: Sequence[Distiller]) -> Optional[RecordedHead]:
    """The student's dense or RoI head, whose assignment a step records.

    Args:
        student (nn.Module): The student.
        distillers (Sequence[Distiller]): Those of the step.

    Returns:
        DenseHead | RoIHead | None: None if no distiller uses it.
    """
    if any(distiller.needs_rois for distiller in distillers):
        return roi_head_of(student, 'the student')
    if any(distiller.dense_heads for distiller in distillers):
        return family_of(student).dense_head(student, 'the student')
    return None


def head_makers(student: nn.Module, teachers: Mapping[str, Teacher],
                recorded: Optional[RecordedHead]) -> Dict[str, Any]:
    """What a :class:`~mmkd.core.batch.StepBatch` makes its heads with.

    Args:
        student (nn.Module): The student.
        teachers (Mapping[str, Teacher]): The teachers by name.
        recorded (DenseHead | RoIHead, optional): See :func:`recorded_head`.

    Returns:
        dict[str, Any]: Arguments of the batch. A teacher's head runs in the
        teacher's precision.
    """

    def head(name: Optional[str]) -> DetectionHead:
        if name is None:
            return family_of(student).detection_head(student, 'the student')
        network = teachers[name].network
        return family_of(network).detection_head(network, f'teacher {name!r}')

    def dense_head(name: Optional[str]) -> Optional[RecordedHead]:
        if name is None:
            return recorded
        network = teachers[name].network
        found = family_of(network).dense_head(network, f'teacher {name!r}')
        found.run_in(teachers[name].autocast)
        return found

    def roi_head(name: Optional[str]) -> Optional[RecordedHead]:
        if name is None:
            return recorded
        found = roi_head_of(
            teachers[name].network, f'teacher {name!r}', single=False)
        found.run_in(teachers[name].autocast)
        return found

    return dict(
        make_head=head, make_dense_head=dense_head, make_roi_head=roi_head)


def match_heads(method: str,
                student: Sequence[TapSpec],
                teacher: Sequence[TapSpec],
                same_size: bool = True) -> Tuple[List[HeadBranch], List[int]]:
    """Match each output of the student's head to one of the teacher's.

    Args:
        method (str): Name of the method in messages.
        student (Sequence[TapSpec]): Specs of the tapped outputs of the
            student's head.
        teacher (Sequence[TapSpec]): The same for the teacher.
        same_size (bool): Whether maps must have the same height and width.
            Defaults to True.

    Returns:
        tuple[list[HeadBranch], list[int]]: The branch of each tensor of the
        student, and the index of the same branch in the teacher's list.

    Raises:
        ConfigError: If an output is unknown, or the teacher lacks the same
            branch with the same shape.
    """
    own = _branches(method, 'student', student)
    theirs = _branches(method, 'teacher', teacher)
    for branch in [*own, *theirs]:
        if branch not in own or branch not in theirs:
            side = 'student' if branch not in own else 'teacher'
            raise ConfigError(f'{method}: the heads do not correspond: no tap '
                              f'of the {side} gives {branch}')
    places = [theirs.index(branch) for branch in own]
    for branch, spec, place in zip(own, student, places):
        end = None if same_size else 2
        shapes = spec.shape[1:end], teacher[place].shape[1:end]
        if shapes[0] != shapes[1]:
            raise ConfigError(
                f'{method}: the heads do not correspond: {branch} has the '
                f'shape {shapes[0]} in the student and {shapes[1]} in the '
                'teacher; tasks, classes, box code'
                f'{" and cells" if same_size else ""} must be the same')
    return own, places


def _branches(method: str, side: str,
              specs: Sequence[TapSpec]) -> List[HeadBranch]:
    found: List[HeadBranch] = []
    for spec in specs:
        if spec.branch is None:
            raise ConfigError(
                f'{method}: {spec.path!r} of the {side} is no output of a '
                'CenterHead or an Anchor3DHead; leave the taps out to read '
                'the standard ones')
        branch = HeadBranch(spec.task, spec.branch, spec.level or 0)
        if branch in found:
            raise ConfigError(f'{method}: two taps of the {side} give '
                              f'{branch}; {spec.path!r} is one too many')
        found.append(branch)
    return found
