"""Average precision of the KITTI object benchmark, without a GPU.

Geiger, Lenz, Urtasun, Are we ready for Autonomous Driving? The KITTI Vision
Benchmark Suite, CVPR 2012, with the 40 recall points of Simonelli et al.,
Disentangling Monocular 3D Object Detection, ICCV 2019, section 5. The rules
are those of the benchmark's own program as mmdet3d 1.4 follows them, and so
are the numbers; the frames are matched together, as arrays.
"""
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from mmkd.errors import ConfigError
from mmkd.evaluation.by_points import Group
from mmkd.utils.table import format_table

DIFFICULTIES = ('easy', 'moderate', 'hard')
#: By difficulty: an object counts if its box is higher (pixels), and if it
#: is hidden and cut off no further.
MIN_HEIGHT = (40, 25, 25)
MAX_OCCLUSION = (0, 1, 2)
MAX_TRUNCATION = (0.15, 0.3, 0.5)
#: Classes that are evaluated; of each, the class that is so like it that
#: finding it is neither right nor wrong.
NEIGHBOURS: Dict[str, Optional[str]] = dict(
    Car='Van', Pedestrian='Person_sitting', Cyclist=None)
#: IoU above which a box is found: in the image, and in bird's-eye view and
#: 3D for the strict and the loose results.
IMAGE_IOU = dict(Car=0.7, Pedestrian=0.5, Cyclist=0.5)
SPACE_IOU = dict(
    strict=dict(Car=0.7, Pedestrian=0.5, Cyclist=0.5),
    loose=dict(Car=0.5, Pedestrian=0.25, Cyclist=0.25))
#: Everything that an object of KITTI's label files can be.
KITTI_NAMES = ('Car', 'Van', 'Truck', 'Pedestrian', 'Person_sitting',
               'Cyclist', 'Tram', 'Misc', 'DontCare')
#: Evaluated boxes by the names that configs and results use.
EVAL_TYPES = {'bbox': '2D', 'aos': 'AOS', 'bev': 'BEV', '3d': '3D'}
RECALL_POINTS = 41
NO_ALPHA = -10


def rectangle_intersection(boxes_a: np.ndarray,
                           boxes_b: np.ndarray) -> np.ndarray:
    """Area that two turned rectangles share, for pairs of them.

    In the frame of the first one, the part of the second one below each of
    its edges is integrated over x, with y held inside the first. There are
    no special cases: rectangles that are equal, or almost, lose nothing (on
    those mmcv's ``box_iou_rotated`` is wrong at times).

    Args:
        boxes_a (np.ndarray): (N, 5): centre x, z, length, width in metres,
            and the angle in radians by which x turns towards -z, as KITTI's
            ``rotation_y`` does.
        boxes_b (np.ndarray): (N, 5), likewise.

    Returns:
        np.ndarray: (N, ), square metres, float64.
    """
    a = np.asarray(boxes_a, np.float64)
    b = np.asarray(boxes_b, np.float64)
    cos, sin = np.cos(a[:, 4]), np.sin(a[:, 4])
    dx, dz = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1]
    centre = np.stack([cos * dx - sin * dz, sin * dx + cos * dz])
    turn = b[:, 4] - a[:, 4]
    cos, sin = np.cos(turn), np.sin(turn)
    # Corners (4, N) against the clock.
    u = np.array([-.5, .5, .5, -.5])[:, None] * b[:, 2]
    v = np.array([-.5, -.5, .5, .5])[:, None] * b[:, 3]
    x = centre[0] + cos * u + sin * v
    y = centre[1] - sin * u + cos * v
    half_x, half_y = a[:, 2] / 2, a[:, 3] / 2
    x2, y2 = np.roll(x, -1, 0), np.roll(y, -1, 0)
    left = np.clip(x, -half_x, half_x)
    right = np.clip(x2, -half_x, half_x)
    run = x2 - x
    slope = (y2 - y) / np.where(run == 0, 1, run)
    y_left, y_right = y + slope * (left - x), y + slope * (right - x)
    rise = y_right - y_left
    flat = np.abs(rise) < 1e-8

    def primitive(t: np.ndarray) -> np.ndarray:
        """Integral of ``clip(t, -half_y, half_y)`` over t."""
        inside = np.clip(t, -half_y, half_y)
        return inside**2 / 2 + np.abs(t - inside) * half_y

    mean = np.where(flat, np.clip((y_left + y_right) / 2, -half_y, half_y),
                    (primitive(y_right) - primitive(y_left)) /
                    np.where(flat, 1, rise))
    return np.maximum(((left - right) * mean).sum(0), 0)


def image_overlap(boxes: np.ndarray,
                  others: np.ndarray,
                  of_first: bool = False) -> np.ndarray:
    """IoU of boxes in an image.

    Args:
        boxes (np.ndarray): (N, 4), ``(x1, y1, x2, y2)`` in pixels.
        others (np.ndarray): (M, 4), likewise.
        of_first (bool): Divide by the area of the first box instead of the
            union. Defaults to False.

    Returns:
        np.ndarray: (N, M).
    """
    boxes = np.asarray(boxes, np.float64)[:, None]
    others = np.asarray(others, np.float64)[None]
    sides = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(
        boxes[..., :2], others[..., :2])
    shared = np.clip(sides, 0, None).prod(-1)
    whole = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    if not of_first:
        whole = whole + (others[..., 2:] - others[..., :2]).prod(-1) - shared
    whole = np.broadcast_to(whole, shared.shape)
    return np.divide(
        shared, whole, out=np.zeros_like(shared), where=shared > 0)


@dataclass
class _Boxes:
    """The boxes of all frames one after another.

    ``start`` (F + 1, ) says where the boxes of a frame begin; the other
    fields are those of KITTI's annotations, (N, ...) each.
    """
    start: np.ndarray
    name: np.ndarray
    bbox: np.ndarray
    alpha: np.ndarray
    location: np.ndarray
    dimensions: np.ndarray
    rotation_y: np.ndarray
    occluded: np.ndarray
    truncated: np.ndarray
    score: np.ndarray

    @classmethod
    def of(cls, annos: Sequence[dict], truth: bool) -> '_Boxes':
        """Join the annotations of frames."""
        counts = [len(anno['name']) for anno in annos]

        def join(key: str, shape: Tuple[int, ...] = ()) -> np.ndarray:
            parts = [
                np.asarray(anno[key], np.float64).reshape(count, *shape)
                for anno, count in zip(annos, counts)
            ]
            return np.concatenate(parts + [np.zeros((0, *shape))])

        unused = np.zeros(sum(counts))
        return cls(
            start=np.cumsum([0, *counts]),
            name=np.array([str(x) for anno in annos for x in anno['name']],
                          dtype='U32'),
            bbox=join('bbox', (4, )),
            alpha=join('alpha'),
            location=join('location', (3, )),
            dimensions=join('dimensions', (3, )),
            rotation_y=join('rotation_y'),
            occluded=join('occluded') if truth else unused,
            truncated=join('truncated') if truth else unused,
            score=unused if truth else join('score'))

    def __len__(self) -> int:
        return len(self.name)

    def ground(self) -> np.ndarray:
        """Their rectangles seen from above, (N, 5)."""
        return np.concatenate([
            self.location[:, ::2], self.dimensions[:, ::2],
            self.rotation_y[:, None]
        ], 1)


@dataclass
class _Pairs:
    """Boxes of the same frame that overlap: predicted, true, IoU, (P, )."""
    predicted: np.ndarray
    truth: np.ndarray
    overlap: np.ndarray

    def where(self, keep: np.ndarray) -> '_Pairs':
        """Some of the pairs."""
        return _Pairs(self.predicted[keep], self.truth[keep],
                      self.overlap[keep])


def _image_pairs(predicted: _Boxes, truth: _Boxes) -> _Pairs:
    """Pairs that overlap in the image, by true and then predicted box."""
    found: List[Tuple[np.ndarray, ...]] = []
    for p0, p1, t0, t1 in zip(predicted.start, predicted.start[1:],
                              truth.start, truth.start[1:]):
        overlap = image_overlap(truth.bbox[t0:t1], predicted.bbox[p0:p1])
        rows, columns = np.nonzero(overlap)
        found.append((columns + p0, rows + t0, overlap[rows, columns]))
    return _Pairs(*(np.concatenate(x) for x in zip(*found)))


def _space_pairs(predicted: _Boxes, truth: _Boxes) -> Tuple[_Pairs, _Pairs]:
    """Pairs that overlap from above, and those that do in 3D."""
    boxes_p, boxes_t = predicted.ground(), truth.ground()
    reach_p = np.hypot(boxes_p[:, 2], boxes_p[:, 3]) / 2
    reach_t = np.hypot(boxes_t[:, 2], boxes_t[:, 3]) / 2
    # Regions, and detections in the image alone, have no size in space.
    solid_p = (predicted.dimensions > 0).all(1)
    solid_t = (truth.dimensions > 0).all(1)
    found: List[Tuple[np.ndarray, ...]] = []
    for p0, p1, t0, t1 in zip(predicted.start, predicted.start[1:],
                              truth.start, truth.start[1:]):
        apart = boxes_t[t0:t1, None, :2] - boxes_p[None, p0:p1, :2]
        near = reach_t[t0:t1, None] + reach_p[None, p0:p1]
        rows, columns = np.nonzero(((apart**2).sum(-1) < near**2)
                                   & solid_t[t0:t1, None]
                                   & solid_p[None, p0:p1])
        found.append((columns + p0, rows + t0))
    p, t = (np.concatenate(x) for x in zip(*found))
    shared = rectangle_intersection(boxes_t[t], boxes_p[p])
    touch = shared > 0
    p, t, shared = p[touch], t[touch], shared[touch]

    def iou(shared: np.ndarray, whole_p: np.ndarray,
            whole_t: np.ndarray) -> np.ndarray:
        return shared / (whole_p[p] + whole_t[t] - shared)

    # In the camera's frame y points down and is that of the underside.
    under_p, under_t = predicted.location[p, 1], truth.location[t, 1]
    height = np.minimum(under_p, under_t) - np.maximum(
        under_p - predicted.dimensions[p, 1], under_t - truth.dimensions[t, 1])
    above = _Pairs(
        p, t, iou(shared, boxes_p[:, 2:4].prod(1), boxes_t[:, 2:4].prod(1)))
    solid = _Pairs(
        p, t,
        iou(shared * np.maximum(height, 0), predicted.dimensions.prod(1),
            truth.dimensions.prod(1)))
    return above, solid


# States of a box for a class and a difficulty.
_OTHER, _COUNTS, _IGNORED = -1, 0, 1


def _truth_states(truth: _Boxes, name: str, difficulty: int) -> np.ndarray:
    """States (N, ): ignored are neighbours and what is too difficult."""
    names = np.char.lower(truth.name)
    of_class = names == name.lower()
    height = truth.bbox[:, 3] - truth.bbox[:, 1]
    hard = ((truth.occluded > MAX_OCCLUSION[difficulty]) |
            (truth.truncated > MAX_TRUNCATION[difficulty]) |
            (height <= MIN_HEIGHT[difficulty]))
    states = np.full(len(truth), _OTHER)
    states[of_class] = np.where(hard[of_class], _IGNORED, _COUNTS)
    if NEIGHBOURS[name] is not None:
        states[names == NEIGHBOURS[name].lower()] = _IGNORED
    return states


def _predicted_states(predicted: _Boxes, name: str,
                      difficulty: int) -> np.ndarray:
    """States (N, ): small boxes of all classes are ignored."""
    states = np.where(
        np.char.lower(predicted.name) == name.lower(), _COUNTS, _OTHER)
    height = np.abs(predicted.bbox[:, 3] - predicted.bbox[:, 1])
    states[height < MIN_HEIGHT[difficulty]] = _IGNORED
    return states


class _Matching:
    """True boxes take predicted ones, in the order of the label file.

    Each true box that counts or is ignored takes one of the free predicted
    boxes that overlap it enough. All frames and score thresholds are handled
    at once: the first true boxes of the frames, then the second ones.

    Args:
        pairs (_Pairs): Sorted by true, then by predicted box.
        truth (_Boxes): True boxes.
        states_t (np.ndarray): Their states.
        states_p (np.ndarray): States of the predicted boxes.
        min_overlap (float): IoU above which boxes match.
    """

    def __init__(self, pairs: _Pairs, truth: _Boxes, states_t: np.ndarray,
                 states_p: np.ndarray, min_overlap: float) -> None:
        pairs = pairs.where((pairs.overlap > min_overlap)
                            & (states_t[pairs.truth] != _OTHER)
                            & (states_p[pairs.predicted] != _OTHER))
        self.states_t, self.states_p = states_t, states_p
        # Only predicted boxes with a partner take part: their rows.
        self.predicted, row = np.unique(pairs.predicted, return_inverse=True)
        self._rounds = []
        taking, first, count = np.unique(
            pairs.truth, return_index=True, return_counts=True)
        if not len(taking):
            return
        frame = np.searchsorted(truth.start, taking, 'right')
        begins = np.flatnonzero(np.diff(frame, prepend=-1))
        rank = np.arange(len(frame)) - np.repeat(
            begins, np.diff(begins, append=len(frame)))
        for turn in range(rank.max() + 1):
            now = np.flatnonzero(rank == turn)
            slots = np.arange(count[now].max())
            valid = slots < count[now, None]
            where = np.where(valid, first[now, None] + slots, 0)
            self._rounds.append(
                (taking[now], row[where], valid, pairs.overlap[where]))

    def scores(self, score: np.ndarray) -> np.ndarray:
        """Scores of the right detections if each true box takes the free
        one of the highest score.

        Args:
            score (np.ndarray): (N, ), of all predicted boxes.
        """
        free = np.ones(len(self.predicted), bool)
        score, state = score[self.predicted], self.states_p[self.predicted]
        found = []
        for taking, rows, valid, _ in self._rounds:
            value = np.where(valid & free[rows], score[rows], -np.inf)
            best = value.argmax(1)
            every = np.arange(len(rows))
            taken = value[every, best] > -np.inf
            chosen = rows[every, best][taken]
            free[chosen] = False
            right = ((self.states_t[taking[taken]] == _COUNTS) &
                     (state[chosen] == _COUNTS))
            found.append(score[chosen[right]])
        return np.concatenate(found) if found else np.zeros(0)

    def count(self, score: np.ndarray, thresholds: np.ndarray,
              excused: np.ndarray, alpha_p: np.ndarray,
              alpha_t: np.ndarray) -> Tuple[np.ndarray, ...]:
        """Right and wrong detections from each score on, where a true box
        takes the free one of the largest overlap.

        Args:
            score (np.ndarray): (N, ), of all predicted boxes.
            thresholds (np.ndarray): (T, ), least scores.
            excused (np.ndarray): (N, ), bool: not wrong if nothing takes it.
            alpha_p (np.ndarray): (N, ), predicted observation angles.
            alpha_t (np.ndarray): (M, ), true ones, radians.

        Returns:
            tuple[np.ndarray]: (T, ) each: right ones, wrong ones, and the
            sum of the orientation similarity of the right ones.
        """
        may_be_wrong = (self.states_p == _COUNTS) & ~excused
        ordered = np.sort(score[may_be_wrong])
        wrong = len(ordered) - np.searchsorted(ordered, thresholds, 'left')
        right = np.zeros(len(thresholds), int)
        similarity = np.zeros(len(thresholds))
        state = self.states_p[self.predicted]
        alpha = alpha_p[self.predicted]
        free = score[self.predicted, None] >= thresholds
        for taking, rows, valid, overlap in self._rounds:
            eligible = valid[..., None] & free[rows]
            counts = (state[rows] == _COUNTS)[..., None]
            # Ignored boxes come after all others, the first of them first.
            value = np.where(counts, overlap[..., None], 0.)
            value = np.where(eligible, value, -1.)
            best = value.argmax(1)
            taken = np.take_along_axis(value, best[:, None], 1)[:, 0] >= 0
            chosen = np.take_along_axis(rows, best, 1)
            at, t = np.nonzero(taken)
            free[chosen[at, t], t] = False
            hit = taken & (state[chosen] == _COUNTS) & (self.states_t[taking]
                                                        == _COUNTS)[:, None]
            right += hit.sum(0)
            delta = alpha_t[taking][:, None] - alpha[chosen]
            similarity += ((1 + np.cos(delta)) / 2 * hit).sum(0)
        taken = ~free & (score[self.predicted, None] >= thresholds)
        wrong -= (taken & may_be_wrong[self.predicted, None]).sum(0)
        return right, wrong, similarity


def recall_thresholds(scores: np.ndarray, num_truth: int) -> np.ndarray:
    """Scores at which recall comes closest to 0, 1/40, ..., 1.

    Args:
        scores (np.ndarray): (N, ), scores of the right detections.
        num_truth (int): Number of true boxes that count.

    Returns:
        np.ndarray: (T, ), falling, T at most 41.
    """
    found = []
    recall = 0.
    scores = np.sort(scores)[::-1]
    for i, score in enumerate(scores.tolist(), 1):
        if i < len(scores):
            left, right = i / num_truth, (i + 1) / num_truth
            if right - recall < recall - left:
                continue
        found.append(score)
        recall += 1 / (RECALL_POINTS - 1.)
    return np.array(found)


def _curve(value: np.ndarray, total: np.ndarray) -> np.ndarray:
    """``value / total`` at 41 recalls, made to fall; 0 past the last one."""
    ratio = value / np.maximum(total, 1)
    curve = np.zeros(RECALL_POINTS)
    curve[:len(ratio)] = np.maximum.accumulate(ratio[::-1])[::-1]
    return curve


def _average(curve: np.ndarray) -> Dict[str, float]:
    """AP in percent over 11 and over 40 recall points."""
    return dict(
        AP11=100 * curve[::4].sum() / 11, AP40=100 * curve[1:].sum() / 40)


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


def kitti_eval(
    gt_annos: Sequence[dict],
    dt_annos: Sequence[dict],
    current_classes: Sequence[str],
    eval_types: Sequence[str] = ('bbox', 'bev', '3d')
) -> Tuple[str, Dict[str, float]]:
    """Evaluate as KITTI does; takes the place of mmdet3d's function.

    Annotations are those of KITTI's label files as arrays by name: ``name``,
    ``bbox`` (N, 4) in pixels, ``alpha``, ``location`` (N, 3) of the middle
    of the underside in the rectified camera frame (x right, y down, z
    front), ``dimensions`` (N, 3) as length, height, width in metres,
    ``rotation_y``; the truth has ``occluded`` and ``truncated`` too, the
    predictions ``score``.

    Two differences from mmdet3d: frames without any object are allowed to
    come first, and a precision of 0 / 0 (a true box lost its detection to
    an ignored one) is 0 and not nan.

    Args:
        gt_annos (Sequence[dict]): Truth, one a frame.
        dt_annos (Sequence[dict]): Predictions, one a frame.
        current_classes (Sequence[str]): Of ``Car``, ``Pedestrian`` and
            ``Cyclist``.
        eval_types (Sequence[str]): Of ``bbox``, ``bev`` and ``3d``. Defaults
            to all three; orientation goes with ``bbox`` where both sides
            have observation angles.

    Returns:
        tuple[str, dict[str, float]]: Tables as text; AP in percent by
        mmdet3d's names, such as ``KITTI/Car_3D_AP40_moderate_strict`` and
        ``KITTI/Overall_BEV_AP11_easy``, and the same with ``AOS``, which
        mmdet3d only prints. A class without truth has AP 0.

    Raises:
        ConfigError: If a class or type is unknown, or if the numbers of
            frames differ.
    """
    if isinstance(current_classes, str):
        current_classes = [current_classes]
    check_classes(current_classes)
    wrong = [x for x in eval_types if x not in ('bbox', 'bev', '3d', 'aos')]
    if wrong or not eval_types:
        raise ConfigError('eval_types are of bbox, bev and 3d; got '
                          f'{list(eval_types)}')
    if len(gt_annos) != len(dt_annos):
        raise ConfigError(f'there is truth of {len(gt_annos)} frames, but '
                          f'there are predictions for {len(dt_annos)}')
    truth = _Boxes.of(gt_annos, True)
    predicted = _Boxes.of(dt_annos, False)
    types = [x for x in ('bbox', 'bev', '3d') if x in eval_types]
    pairs: Dict[str, _Pairs] = {}
    if len(gt_annos) and 'bbox' in types:
        pairs['bbox'] = _image_pairs(predicted, truth)
    if len(gt_annos) and ('bev' in types or '3d' in types):
        pairs['bev'], pairs['3d'] = _space_pairs(predicted, truth)
    # mmdet3d looks at the first object of each frame.
    first = truth.start[:-1][np.diff(truth.start) > 0]
    with_angles = bool((predicted.alpha != NO_ALPHA).any()
                       and (truth.alpha[first] != NO_ALPHA).any())
    excuse = _excuses(predicted, truth)
    found: Dict[Tuple[str, str, str, int], Dict[str, float]] = {}
    for name in current_classes:
        for difficulty in range(len(DIFFICULTIES)):
            states_t = _truth_states(truth, name, difficulty)
            states_p = _predicted_states(predicted, name, difficulty)
            for kind in types:
                done: Dict[float, Tuple[Dict[str, float], ...]] = {}
                for level, space in SPACE_IOU.items():
                    minimum = (IMAGE_IOU if kind == 'bbox' else space)[name]
                    if minimum not in done:
                        done[minimum] = _precision(
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
    """AP of groups of true objects, by a number that each has.

    The rules are KITTI's: an object of another group is ignored as one that
    is too difficult is, and so is what finds it; what finds nothing is wrong
    in every group.

    Args:
        gt_annos (Sequence[dict]): As of :func:`kitti_eval`.
        dt_annos (Sequence[dict]): As of :func:`kitti_eval`.
        current_classes (Sequence[str]): As of :func:`kitti_eval`.
        values (Sequence[np.ndarray]): (N, ) of the true objects of each
            frame, such as their numbers of points.
        groups (Sequence[Group]): See :func:`~.by_points.groups_of`.
        difficulty (str): One of :data:`DIFFICULTIES`. Defaults to
            ``'hard'``.

    Returns:
        dict[str, dict]: By name of the group, ``objects``, the number of
        those that count, and ``bev`` and ``3d``: AP40 in percent with the
        strict IoU, the mean over the classes with objects in the group, NaN
        for an empty group.
    """
    check_classes(current_classes)
    truth = _Boxes.of(gt_annos, True)
    predicted = _Boxes.of(dt_annos, False)
    pairs = dict(zip(('bev', '3d'), _space_pairs(predicted, truth))) \
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
            states = _truth_states(truth, name, level)
            states[(states == _COUNTS) & ~inside] = _IGNORED
            count = int((states == _COUNTS).sum())
            objects += count
            for kind in scores if count else ():
                precision, _ = _precision(
                    pairs.get(kind), predicted, truth,
                    _predicted_states(predicted, name, level), states,
                    SPACE_IOU['strict'][name], never)
                scores[kind].append(precision['AP40'])
        means = {
            kind: float(np.mean(x)) if x else float('nan')
            for kind, x in scores.items()
        }
        found[group.name] = dict(objects=objects, **means)
    return found


def _excuses(predicted: _Boxes, truth: _Boxes) -> np.ndarray:
    """Largest share of each predicted box in a ``DontCare`` region, (N, )."""
    share = np.zeros(len(predicted))
    region = truth.name == 'DontCare'
    for p0, p1, t0, t1 in zip(predicted.start, predicted.start[1:],
                              truth.start, truth.start[1:]):
        boxes = truth.bbox[t0:t1][region[t0:t1]]
        if len(boxes) and p1 > p0:
            share[p0:p1] = image_overlap(
                predicted.bbox[p0:p1], boxes, of_first=True).max(1)
    return share


def _precision(pairs: Optional[_Pairs], predicted: _Boxes, truth: _Boxes,
               states_p: np.ndarray, states_t: np.ndarray, minimum: float,
               excused: np.ndarray) -> Tuple[Dict[str, float], ...]:
    """AP and average orientation similarity, by number of points."""
    num_truth = int((states_t == _COUNTS).sum())
    if pairs is None or not num_truth:
        return _average(np.zeros(RECALL_POINTS)), _average(
            np.zeros(RECALL_POINTS))
    matching = _Matching(pairs, truth, states_t, states_p, minimum)
    thresholds = recall_thresholds(matching.scores(predicted.score), num_truth)
    right, wrong, similarity = matching.count(predicted.score, thresholds,
                                              excused, predicted.alpha,
                                              truth.alpha)
    total = right + wrong
    return (_average(_curve(right,
                            total)), _average(_curve(similarity, total)))


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
