"""Comparing the outputs of two 3D detection heads."""
from typing import List, Sequence, Tuple

from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.families.detection_heads import HeadBranch


def match_heads(
        method: str, student: Sequence[TapSpec],
        teacher: Sequence[TapSpec]) -> Tuple[List[HeadBranch], List[int]]:
    """Find each output of the student's head among those of the teacher's.

    Args:
        method (str): Name for messages.
        student (Sequence[TapSpec]): Of the tapped outputs of its head.
        teacher (Sequence[TapSpec]): The same of the teacher.

    Returns:
        tuple[list[HeadBranch], list[int]]: What each tensor of the student
        is, and where the teacher's list has the same.

    Raises:
        ConfigError: If an output is not known, or the teacher has none that
            is the same, in the same shape.
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
        shapes = spec.shape[1:], teacher[place].shape[1:]
        if shapes[0] != shapes[1]:
            raise ConfigError(
                f'{method}: the heads do not correspond: {branch} has the '
                f'shape {shapes[0]} in the student and {shapes[1]} in the '
                'teacher; tasks, classes, box code and cells must be the same')
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
