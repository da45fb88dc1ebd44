"""Which predicted box finds which true one, by the rules of KITTI.

Boxes of all frames lie in one array, and the frames are matched together.
"""
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np

from mmkd.evaluation.overlaps import image_overlap, rectangle_intersection

#: By difficulty: an object counts if its box is higher (pixels), and if it
#: is hidden and cut off no further.
MIN_HEIGHT = (40, 25, 25)
MAX_OCCLUSION = (0, 1, 2)
MAX_TRUNCATION = (0.15, 0.3, 0.5)
#: Classes that are evaluated; of each, the class that is so like it that
#: finding it is neither right nor wrong.
NEIGHBOURS: Dict[str, Optional[str]] = dict(
    Car='Van', Pedestrian='Person_sitting', Cyclist=None)


@dataclass
class Boxes:
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
        """Their rectangles seen from above, (N, 5)."""
        return np.concatenate([
            self.location[:, ::2], self.dimensions[:, ::2],
            self.rotation_y[:, None]
        ], 1)


@dataclass
class Pairs:
    """Boxes of the same frame that overlap: predicted, true, IoU, (P, )."""
    predicted: np.ndarray
    truth: np.ndarray
    overlap: np.ndarray

    def where(self, keep: np.ndarray) -> 'Pairs':
        """Some of the pairs."""
        return Pairs(self.predicted[keep], self.truth[keep],
                     self.overlap[keep])


def image_pairs(predicted: Boxes, truth: Boxes) -> Pairs:
    """Pairs that overlap in the image, by true and then predicted box."""
    found: List[Tuple[np.ndarray, ...]] = []
    for p0, p1, t0, t1 in zip(predicted.start, predicted.start[1:],
                              truth.start, truth.start[1:]):
        overlap = image_overlap(truth.bbox[t0:t1], predicted.bbox[p0:p1])
        rows, columns = np.nonzero(overlap)
        found.append((columns + p0, rows + t0, overlap[rows, columns]))
    return Pairs(*(np.concatenate(x) for x in zip(*found)))


def space_pairs(predicted: Boxes, truth: Boxes) -> Tuple[Pairs, Pairs]:
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
    above = Pairs(
        p, t, iou(shared, boxes_p[:, 2:4].prod(1), boxes_t[:, 2:4].prod(1)))
    solid = Pairs(
        p, t,
        iou(shared * np.maximum(height, 0), predicted.dimensions.prod(1),
            truth.dimensions.prod(1)))
    return above, solid


# States of a box for a class and a difficulty.
OTHER, COUNTS, IGNORED = -1, 0, 1


def truth_states(truth: Boxes, name: str, difficulty: int) -> np.ndarray:
    """States (N, ): ignored are neighbours and what is too difficult."""
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
    """States (N, ): small boxes of all classes are ignored."""
    states = np.where(
        np.char.lower(predicted.name) == name.lower(), COUNTS, OTHER)
    height = np.abs(predicted.bbox[:, 3] - predicted.bbox[:, 1])
    states[height < MIN_HEIGHT[difficulty]] = IGNORED
    return states


class Matching:
    """True boxes take predicted ones, in the order of the label file.

    Each true box that counts or is ignored takes one of the free predicted
    boxes that overlap it enough. All frames and score thresholds are handled
    at once: the first true boxes of the frames, then the second ones.

    Args:
        pairs (Pairs): Sorted by true, then by predicted box.
        truth (Boxes): True boxes.
        states_t (np.ndarray): Their states.
        states_p (np.ndarray): States of the predicted boxes.
        min_overlap (float): IoU above which boxes match.
    """

    def __init__(self, pairs: Pairs, truth: Boxes, states_t: np.ndarray,
                 states_p: np.ndarray, min_overlap: float) -> None:
        pairs = pairs.where((pairs.overlap > min_overlap)
                            & (states_t[pairs.truth] != OTHER)
                            & (states_p[pairs.predicted] != OTHER))
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
            right = ((self.states_t[taking[taken]] == COUNTS) &
                     (state[chosen] == COUNTS))
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
            # Ignored boxes come after all others, the first of them first.
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
