"""Average precision by the number of points of an object."""
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

#: Thresholds on the distance between centres in bird's-eye view, metres.
THRESHOLDS = (0.5, 1., 2., 4.)
#: Minimum number of points of each group.
EDGES = (1, 6, 21, 101)


class Detections(NamedTuple):
    """Detected and ground-truth objects of a frame.

    Attributes:
        centres (np.ndarray): (P, 2), metres, of the detections.
        scores (np.ndarray): (P, ).
        labels (np.ndarray): (P, ).
        true_centres (np.ndarray): (G, 2).
        true_labels (np.ndarray): (G, ).
        values (np.ndarray): (G, ), numbers to group by, such as the number of
            points or the occlusion of an object.
    """
    centres: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    true_centres: np.ndarray
    true_labels: np.ndarray
    values: np.ndarray


class Group(NamedTuple):
    """A range of values, such as numbers of points.

    Attributes:
        name (str): Such as ``'6-20'`` or ``'101+'``.
        low (float): Minimum value.
        high (float): Minimum value of the next group.
    """
    name: str
    low: float
    high: float

    def has(self, values: np.ndarray) -> np.ndarray:
        """Which values belong to the group; NaN belongs to none."""
        return (values >= self.low) & (values < self.high)


def groups_of(edges: Sequence[float]) -> List[Group]:
    """Groups with the given increasing minimum values; the last one is
    unbounded."""
    limits = [*edges, np.inf]
    return [
        Group(f'{low:g}-{high - 1:g}' if np.isfinite(high) else f'{low:g}+',
              low, high) for low, high in zip(limits, limits[1:])
    ]


def _match(frames: List[Detections], label: int,
           threshold: float) -> Tuple[np.ndarray, np.ndarray]:
    """Scores of a class in descending order, and the value of the matched
    ground-truth object for each, NaN for none."""
    scores, values = [], []
    for frame in frames:
        mine = np.flatnonzero(frame.labels == label)
        true = np.flatnonzero(frame.true_labels == label)
        free = np.ones(len(true), bool)
        for i in mine[np.argsort(-frame.scores[mine], kind='stable')]:
            value = np.nan
            if free.any():
                distance = np.where(
                    free,
                    np.linalg.norm(
                        frame.true_centres[true] - frame.centres[i], axis=1),
                    np.inf)
                nearest = distance.argmin()
                if distance[nearest] < threshold:
                    free[nearest] = False
                    value = frame.values[true[nearest]]
            scores.append(frame.scores[i])
            values.append(value)
    order = np.argsort(-np.array(scores), kind='stable')
    return np.array(scores)[order], np.array(values, float)[order]


def average_precision(hits: np.ndarray, count: int) -> float:
    """Average precision as in nuScenes' evaluation.

    It averages the precision above 10 % over those of 101 recall levels that
    are above 10 %, scaled to 0 to 1.

    Args:
        hits (np.ndarray): (P, ), bool, whether each detection matches an
            object, in descending order of scores.
        count (int): Number of ground-truth objects, at least one.
    """
    if not len(hits):
        return 0.
    found = np.cumsum(hits)
    precision = found / np.arange(1, len(hits) + 1)
    levels = np.interp(
        np.linspace(0, 1, 101), found / count, precision, right=0)
    return float(np.clip(levels[11:] - .1, 0, None).mean() / .9)


def precision_by_group(
        frames: List[Detections],
        edges: Sequence[float] = EDGES,
        thresholds: Sequence[float] = THRESHOLDS) -> Dict[str, dict]:
    """Average precision for groups of ground-truth objects.

    Detections that match an object of another group are ignored, as in COCO's
    evaluation by size; those without a match are false positives in every
    group.

    Args:
        frames (list[Detections]): All frames.
        edges (Sequence[float]): Minimum value of each group, increasing; a
            group ends below the next one. Objects below the first value
            belong to no group.
        thresholds (Sequence[float]): Maximum distances of a match.

    Returns:
        dict[str, dict]: By group, such as ``'6-20'``: ``ap``, the mean over
        classes with objects in the group and over thresholds, 0 to 1 (NaN
        for an empty group), and ``objects``, their number.
    """
    labels = sorted({int(x) for frame in frames for x in frame.true_labels})
    groups = groups_of(edges)
    true = {
        label:
        np.concatenate([x.values[x.true_labels == label] for x in frames])
        for label in labels
    }
    found: Dict[str, List[float]] = {group.name: [] for group in groups}
    for label in labels:
        for threshold in thresholds:
            _, values = _match(frames, label, threshold)
            for group in groups:
                count = int(group.has(true[label]).sum())
                if not count:
                    continue
                hits = group.has(values)
                found[group.name].append(
                    average_precision(hits[hits | np.isnan(values)], count))
    return {
        group.name:
        dict(
            ap=float(np.mean(found[group.name]))
            if found[group.name] else float('nan'),
            objects=int(sum(group.has(x).sum() for x in true.values())))
        for group in groups
    }
