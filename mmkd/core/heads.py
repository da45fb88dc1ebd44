"""Comparing the outputs of two 3D detection heads."""
from typing import List, Sequence, Tuple

from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError
from mmkd.families.detection_heads import HeadBranch


def match_heads(
        method: str, student: Sequence[TapSpec],
        teacher: Sequence[TapSpec]) -> Tuple[List[HeadBranch], List[int]]:
    """Match each output of the student's head to one of the teacher's.

    Args:
        method (str): Name of the method in messages.
        student (Sequence[TapSpec]): Specs of the tapped outputs of the
            student's head.
        teacher (Sequence[TapSpec]): The same for the teacher.

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
