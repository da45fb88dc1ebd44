"""Average precision of the KITTI object benchmark, without a GPU.

Geiger, Lenz, Urtasun, Are we ready for Autonomous Driving? The KITTI Vision
Benchmark Suite, CVPR 2012, with the 40 recall points of Simonelli et al.,
Disentangling Monocular 3D Object Detection, ICCV 2019, section 5. The rules
and results are those of the benchmark's own program, as implemented in mmdet3d
1.4; all frames are matched together, as arrays.
"""
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from mmkd.errors import ConfigError
from mmkd.evaluation.by_points import Group
from mmkd.evaluation.kitti_matching import (COUNTS, IGNORED, NEIGHBOURS, Boxes,
                                            Pairs, excuses, image_pairs,
                                            predicted_states, space_pairs,
                                            truth_states)
from mmkd.evaluation.kitti_precision import precision_of
from mmkd.utils.table import format_table

DIFFICULTIES = ('easy', 'moderate', 'hard')
#: Minimum IoU of a match: in the image, and in bird's-eye view and 3D for the
#: strict and the loose results.
IMAGE_IOU = dict(Car=0.7, Pedestrian=0.5, Cyclist=0.5)
SPACE_IOU = dict(
    strict=dict(Car=0.7, Pedestrian=0.5, Cyclist=0.5),
    loose=dict(Car=0.5, Pedestrian=0.25, Cyclist=0.25))
#: All classes of KITTI's label files.
KITTI_NAMES = ('Car', 'Van', 'Truck', 'Pedestrian', 'Person_sitting',
               'Cyclist', 'Tram', 'Misc', 'DontCare')
#: Evaluated boxes, by their names in configs and results.
EVAL_TYPES = {'bbox': '2D', 'aos': 'AOS', 'bev': 'BEV', '3d': '3D'}
NO_ALPHA = -10


def check_classes(classes: Sequence[str]) -> None:
    """Refuse classes that KITTI does not evaluate.

    Args:
        classes (Sequence[str]): Names.

    Raises:
        ConfigError: If one is not ``Car``, ``Pedestrian`` or ``Cyclist``.
    """
    for name in classes:
        if name in NEIGHBOURS:
            continue
        same = [x for x in NEIGHBOURS if x.lower() == str(name).lower()]
        if same:
            hint = f'it is spelt {same[0]!r}'
        elif name in KITTI_NAMES:
            hint = 'KITTI labels it but does not evaluate it'
        else:
            hint = 'KITTI has no such class'
        raise ConfigError(
            f'cannot evaluate class {name!r}: {hint}; the classes of the '
            f'data set can be {", ".join(NEIGHBOURS)} (metainfo=dict('
            'classes=[...]))')


def _check_arguments(gt_annos: Sequence[dict], dt_annos: Sequence[dict],
                     classes: Sequence[str],
                     eval_types: Sequence[str]) -> None:
    """Raise the errors of :func:`kitti_eval`."""
    check_classes(classes)
    wrong = [x for x in eval_types if x not in ('bbox', 'bev', '3d', 'aos')]
    if wrong or not eval_types:
        raise ConfigError('eval_types are of bbox, bev and 3d; got '
                          f'{list(eval_types)}')
    if len(gt_annos) != len(dt_annos):
        raise ConfigError(
            f'there is ground truth for {len(gt_annos)} frames, but '
            f'predictions for {len(dt_annos)}')


def kitti_eval(
    gt_annos: Sequence[dict],
    dt_annos: Sequence[dict],
    current_classes: Sequence[str],
    eval_types: Sequence[str] = ('bbox', 'bev', '3d')
) -> Tuple[str, Dict[str, float]]:
    """Evaluate as KITTI does; replaces mmdet3d's function.

    Annotations are those of KITTI's label files as arrays by name: ``name``,
    ``bbox`` (N, 4) in pixels, ``alpha``, ``location`` (N, 3), the centre of
    the bottom face in the rectified camera frame (x right, y down, z front),
    ``dimensions`` (N, 3) as length, height, width in metres, ``rotation_y``;
    the ground truth also has ``occluded`` and ``truncated``, the predictions
    ``score``.

    There are two differences from mmdet3d: the first frame may be empty, and
    a precision of 0 / 0 (if an ignored box took the detection of a
    ground-truth box) is 0 instead of NaN.

    Args:
        gt_annos (Sequence[dict]): Ground truth, one per frame.
        dt_annos (Sequence[dict]): Predictions, one per frame.
        current_classes (Sequence[str]): Some of ``Car``, ``Pedestrian`` and
            ``Cyclist``.
        eval_types (Sequence[str]): Some of ``bbox``, ``bev`` and ``3d``.
            Defaults to all three. ``bbox`` includes orientation if both sides
            have observation angles.

    Returns:
        tuple[str, dict[str, float]]: Tables as text; AP in percent by
        mmdet3d's names, such as ``KITTI/Car_3D_AP40_moderate_strict`` and
        ``KITTI/Overall_BEV_AP11_easy``, and the same with ``AOS``, which
        mmdet3d only prints. A class without ground truth has AP 0.

    Raises:
        ConfigError: If a class or type is unknown, or if the numbers of
            frames differ.
    """
    if isinstance(current_classes, str):
        current_classes = [current_classes]
    _check_arguments(gt_annos, dt_annos, current_classes, eval_types)
    truth = Boxes.of(gt_annos, True)
    predicted = Boxes.of(dt_annos, False)
    types = [x for x in ('bbox', 'bev', '3d') if x in eval_types]
    pairs: Dict[str, Pairs] = {}
    if len(gt_annos) and 'bbox' in types:
        pairs['bbox'] = image_pairs(predicted, truth)
    if len(gt_annos) and ('bev' in types or '3d' in types):
        pairs['bev'], pairs['3d'] = space_pairs(predicted, truth)
    # mmdet3d checks the first object of each frame.
    first = truth.start[:-1][np.diff(truth.start) > 0]
    with_angles = bool((predicted.alpha != NO_ALPHA).any()
                       and (truth.alpha[first] != NO_ALPHA).any())
    excuse = excuses(predicted, truth)
    found: Dict[Tuple[str, str, str, int], Dict[str, float]] = {}
    for name in current_classes:
        for difficulty in range(len(DIFFICULTIES)):
            states_t = truth_states(truth, name, difficulty)
            states_p = predicted_states(predicted, name, difficulty)
            for kind in types:
                done: Dict[float, Tuple[Dict[str, float], ...]] = {}
                for level, space in SPACE_IOU.items():
                    minimum = (IMAGE_IOU if kind == 'bbox' else space)[name]
                    if minimum not in done:
                        done[minimum] = precision_of(
                            pairs.get(kind), predicted, truth, states_p,
                            states_t, minimum,
                            (excuse > minimum) & (kind == 'bbox'))
                    precision, orientation = done[minimum]
                    found[name, kind, level, difficulty] = precision
                    if kind == 'bbox' and with_angles:
                        found[name, 'aos', level, difficulty] = orientation
    if 'bbox' in types and with_angles:
        types.insert(1, 'aos')
    return _report(found, list(current_classes), types)


def kitti_eval_groups(gt_annos: Sequence[dict],
                      dt_annos: Sequence[dict],
                      current_classes: Sequence[str],
                      values: Sequence[np.ndarray],
                      groups: Sequence[Group],
                      difficulty: str = 'hard') -> Dict[str, dict]:
    """AP for groups of ground-truth objects.

    KITTI's rules apply: objects of other groups are ignored like those that
    are too difficult, and so are detections that match them; detections
    without a match are false positives in every group.

    Args:
        gt_annos (Sequence[dict]): See :func:`kitti_eval`.
        dt_annos (Sequence[dict]): See :func:`kitti_eval`.
        current_classes (Sequence[str]): See :func:`kitti_eval`.
        values (Sequence[np.ndarray]): (N, ), a number for each ground-truth
            object of each frame, such as its number of points.
        groups (Sequence[Group]): See :func:`~.by_points.groups_of`.
        difficulty (str): One of :data:`DIFFICULTIES`. Defaults to
            ``'hard'``.

    Returns:
        dict[str, dict]: By name of the group: ``objects``, the number of
        objects that count, and ``bev`` and ``3d``: AP40 in percent at the
        strict IoU, averaged over the classes with objects in the group, NaN
        for an empty group.
    """
    check_classes(current_classes)
    truth = Boxes.of(gt_annos, True)
    predicted = Boxes.of(dt_annos, False)
    pairs = dict(zip(('bev', '3d'), space_pairs(predicted, truth))) \
        if len(gt_annos) else {}
    numbers = np.concatenate([*values, np.zeros(0)])
    level = DIFFICULTIES.index(difficulty)
    never = np.zeros(len(predicted), bool)
    found: Dict[str, dict] = {}
    for group in groups:
        inside = group.has(numbers)
        scores: Dict[str, List[float]] = {'bev': [], '3d': []}
        objects = 0
        for name in current_classes:
            states = truth_states(truth, name, level)
            states[(states == COUNTS) & ~inside] = IGNORED
            count = int((states == COUNTS).sum())
            objects += count
            for kind in scores if count else ():
                precision, _ = precision_of(
                    pairs.get(kind), predicted, truth,
                    predicted_states(predicted, name, level), states,
                    SPACE_IOU['strict'][name], never)
                scores[kind].append(precision['AP40'])
        means = {
            kind: float(np.mean(x)) if x else float('nan')
            for kind, x in scores.items()
        }
        found[group.name] = dict(objects=objects, **means)
    return found


def _report(found: Dict[Tuple[str, str, str, int],
                        Dict[str, float]], classes: List[str],
            types: List[str]) -> Tuple[str, Dict[str, float]]:
    """Tables and the dict of the results."""
    values: Dict[str, float] = {}
    text = ''
    for points in ('AP11', 'AP40'):
        rows: List[List[Optional[str]]] = []

        def add(name: str, level: str, kind: str, scores: List[float],
                ending: str) -> None:
            rows.append([name, level, EVAL_TYPES[kind]] +
                        [f'{score:.4f}' for score in scores])
            for difficulty, score in zip(DIFFICULTIES, scores):
                values[f'KITTI/{name}_{EVAL_TYPES[kind]}_{points}_'
                       f'{difficulty}{ending}'] = score

        for name in classes:
            for level, space in SPACE_IOU.items():
                for kind in types:
                    minimum = space if kind in ('bev', '3d') else IMAGE_IOU
                    add(name, f'{level}, IoU {minimum[name]}', kind, [
                        found[name, kind, level, i][points] for i in range(3)
                    ], f'_{level}')
        if len(classes) > 1:
            for kind in types:
                add('Overall', 'strict', kind, [
                    float(
                        np.mean([
                            found[name, kind, 'strict', i][points]
                            for name in classes
                        ])) for i in range(3)
                ], '')
        text += f'\n{points}\n' + format_table(
            ['class', 'level', 'boxes', *DIFFICULTIES], rows) + '\n'
    return text, values
