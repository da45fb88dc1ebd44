"""Matching of predicted and ground-truth boxes by KITTI's rules.

The boxes of all frames are stored in one array and matched together.
"""
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from mmkd.evaluation.overlaps import image_overlap, rectangle_intersection

#: By difficulty: minimum height of a box in pixels, maximum occlusion and
#: maximum truncation of an object that counts.
MIN_HEIGHT = (40, 25, 25)
MAX_OCCLUSION = (0, 1, 2)
MAX_TRUNCATION = (0.15, 0.3, 0.5)
#: Evaluated classes, each with a similar class whose detection is neither a
#: true nor a false positive.
NEIGHBOURS: Dict[str, Optional[str]] = dict(
    Car='Van', Pedestrian='Person_sitting', Cyclist=None)


@dataclass
class Boxes:
    """The concatenated boxes of all frames.

    ``start`` (F + 1, ) holds the offset of each frame; the other fields are
    those of KITTI's annotations, (N, ...) each.
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
    def of(cls, annos: Sequence[dict], truth: bool) -> 'Boxes':
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
        """Rectangles in bird's-eye view, (N, 5)."""
        return np.concatenate([
            self.location[:, ::2], self.dimensions[:, ::2],
            self.rotation_y[:, None]
        ], 1)


@dataclass
class Pairs:
    """Overlapping boxes of the same frame: predicted, ground truth, IoU, (P,
    )."""
    predicted: np.ndarray
    truth: np.ndarray
    overlap: np.ndarray

    def where(self, keep: np.ndarray) -> 'Pairs':
        """Some of the pairs."""
        return Pairs(self.predicted[keep], self.truth[keep],
                     self.overlap[keep])


def image_pairs(predicted: Boxes, truth: Boxes) -> Pairs:
    """Pairs that overlap in the image, sorted by ground truth, then
    prediction."""
    found: List[Tuple[np.ndarray, ...]] = []
    for p0, p1, t0, t1 in zip(predicted.start, predicted.start[1:],
                              truth.start, truth.start[1:]):
        overlap = image_overlap(truth.bbox[t0:t1], predicted.bbox[p0:p1])
        rows, columns = np.nonzero(overlap)
        found.append((columns + p0, rows + t0, overlap[rows, columns]))
    return Pairs(*(np.concatenate(x) for x in zip(*found)))


def space_pairs(predicted: Boxes, truth: Boxes) -> Tuple[Pairs, Pairs]:
    """Pairs that overlap in bird's-eye view, and pairs that overlap in 3D."""
    boxes_p, boxes_t = predicted.ground(), truth.ground()
    reach_p = np.hypot(boxes_p[:, 2], boxes_p[:, 3]) / 2
    reach_t = np.hypot(boxes_t[:, 2], boxes_t[:, 3]) / 2
    # Regions and image-only detections have no 3D size.
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

    # In the camera frame, y points down and refers to the bottom face.
    under_p, under_t = predicted.location[p, 1], truth.location[t, 1]
    height = np.minimum(under_p, under_t) - np.maximum(
        under_p - predicted.dimensions[p, 1], under_t - truth.dimensions[t, 1])
    above = Pairs(
        p, t, iou(shared, boxes_p[:, 2:4].prod(1), boxes_t[:, 2:4].prod(1)))
    solid = Pairs(
        p, t,
        iou(shared * np.maximum(height, 0), predicted.dimensions.prod(1),
            truth.dimensions.prod(1)))
    return above, solid


# States of a box, given a class and a difficulty.
OTHER, COUNTS, IGNORED = -1, 0, 1


def truth_states(truth: Boxes, name: str, difficulty: int) -> np.ndarray:
    """States (N, ) of ground truth: similar classes and objects that are too
    difficult are ignored."""
    names = np.char.lower(truth.name)
    of_class = names == name.lower()
    height = truth.bbox[:, 3] - truth.bbox[:, 1]
    hard = ((truth.occluded > MAX_OCCLUSION[difficulty]) |
            (truth.truncated > MAX_TRUNCATION[difficulty]) |
            (height <= MIN_HEIGHT[difficulty]))
    states = np.full(len(truth), OTHER)
    states[of_class] = np.where(hard[of_class], IGNORED, COUNTS)
    if NEIGHBOURS[name] is not None:
        states[names == NEIGHBOURS[name].lower()] = IGNORED
    return states


def predicted_states(predicted: Boxes, name: str,
                     difficulty: int) -> np.ndarray:
    """States (N, ) of predictions: small boxes of all classes are ignored."""
    states = np.where(
        np.char.lower(predicted.name) == name.lower(), COUNTS, OTHER)
    height = np.abs(predicted.bbox[:, 3] - predicted.bbox[:, 1])
    states[height < MIN_HEIGHT[difficulty]] = IGNORED
    return states


class Matching:
    """Greedy matching of ground truth to predictions, in label-file order.

    Each ground-truth box that counts or is ignored takes one of the free
    predicted boxes with sufficient overlap. All frames and score thresholds
    are processed at once: the first boxes of all frames, then the second.

    Args:
        pairs (Pairs): Sorted by ground truth, then by prediction.
        truth (Boxes): Ground-truth boxes.
        states_t (np.ndarray): States of the ground-truth boxes.
        states_p (np.ndarray): States of the predicted boxes.
        min_overlap (float): Minimum IoU of a match.
    """

    def __init__(self, pairs: Pairs, truth: Boxes, states_t: np.ndarray,
                 states_p: np.ndarray, min_overlap: float) -> None:
        pairs = pairs.where((pairs.overlap > min_overlap)
                            & (states_t[pairs.truth] != OTHER)
                            & (states_p[pairs.predicted] != OTHER))
        self.states_t, self.states_p = states_t, states_p
        # Rows of the predicted boxes that overlap any ground truth.
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
        """Scores of the true positives if each ground-truth box takes the free
        prediction with the highest score.

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
            right = ((self.states_t[taking[taken]] == COUNTS) &
                     (state[chosen] == COUNTS))
            found.append(score[chosen[right]])
        return np.concatenate(found) if found else np.zeros(0)

    def count(self, score: np.ndarray, thresholds: np.ndarray,
              excused: np.ndarray, alpha_p: np.ndarray,
              alpha_t: np.ndarray) -> Tuple[np.ndarray, ...]:
        """True and false positives at each score threshold, if each
        ground-truth box takes the free prediction with the largest overlap.

        Args:
            score (np.ndarray): (N, ), of all predicted boxes.
            thresholds (np.ndarray): (T, ), minimum scores.
            excused (np.ndarray): (N, ), bool: not a false positive if
                unmatched.
            alpha_p (np.ndarray): (N, ), predicted observation angles,
                radians.
            alpha_t (np.ndarray): (M, ), true observation angles, radians.

        Returns:
            tuple[np.ndarray]: (T, ) each: true positives, false positives,
            and the sum of the orientation similarity of the true positives.
        """
        may_be_wrong = (self.states_p == COUNTS) & ~excused
        ordered = np.sort(score[may_be_wrong])
        wrong = len(ordered) - np.searchsorted(ordered, thresholds, 'left')
        right = np.zeros(len(thresholds), int)
        similarity = np.zeros(len(thresholds))
        state = self.states_p[self.predicted]
        alpha = alpha_p[self.predicted]
        free = score[self.predicted, None] >= thresholds
        for taking, rows, valid, overlap in self._rounds:
            eligible = valid[..., None] & free[rows]
            counts = (state[rows] == COUNTS)[..., None]
            # Ignored boxes come after all others, in their order.
            value = np.where(counts, overlap[..., None], 0.)
            value = np.where(eligible, value, -1.)
            best = value.argmax(1)
            taken = np.take_along_axis(value, best[:, None], 1)[:, 0] >= 0
            chosen = np.take_along_axis(rows, best, 1)
            at, t = np.nonzero(taken)
            free[chosen[at, t], t] = False
            hit = taken & (state[chosen] == COUNTS) & (self.states_t[taking]
                                                       == COUNTS)[:, None]
            right += hit.sum(0)
            delta = alpha_t[taking][:, None] - alpha[chosen]
            similarity += ((1 + np.cos(delta)) / 2 * hit).sum(0)
        taken = ~free & (score[self.predicted, None] >= thresholds)
        wrong -= (taken & may_be_wrong[self.predicted, None]).sum(0)
        return right, wrong, similarity


def excuses(predicted: Boxes, truth: Boxes) -> np.ndarray:
    """Maximum fraction of each prediction in a ``DontCare`` region, (N, )."""
    share = np.zeros(len(predicted))
    region = truth.name == 'DontCare'
    for p0, p1, t0, t1 in zip(predicted.start, predicted.start[1:],
                              truth.start, truth.start[1:]):
        boxes = truth.bbox[t0:t1][region[t0:t1]]
        if len(boxes) and p1 > p0:
            share[p0:p1] = image_overlap(
                predicted.bbox[p0:p1], boxes, of_first=True).max(1)
    return share
