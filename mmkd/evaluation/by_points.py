"""Average precision of objects with few points and of those with many."""
from typing import Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

#: Distances of centres, seen from above, that count as found; metres.
THRESHOLDS = (0.5, 1., 2., 4.)
#: Least number of points of each group.
EDGES = (1, 6, 21, 101)


class Detections(NamedTuple):
    """Found and true objects of a frame.

    Attributes:
        centers (np.ndarray): (P, 2), metres, of what was found.
        scores (np.ndarray): (P, ).
        labels (np.ndarray): (P, ).
        true_centers (np.ndarray): (G, 2).
        true_labels (np.ndarray): (G, ).
        values (np.ndarray): (G, ), what the groups go by, such as the number
            of points, or how far an object is hidden.
    """
    centers: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    true_centers: np.ndarray
    true_labels: np.ndarray
    values: np.ndarray


class Group(NamedTuple):
    """Objects by a number, such as that of their points.

    Attributes:
        name (str): Such as ``'6-20'`` or ``'101+'``.
        low (float): Least value.
        high (float): Where the next group begins.
    """
    name: str
    low: float
    high: float

    def has(self, values: np.ndarray) -> np.ndarray:
        """Which values are of the group; NaN is of none."""
        return (values >= self.low) & (values < self.high)


def groups_of(edges: Sequence[float]) -> List[Group]:
    """The groups that begin at some values, which increase; the last one
    has no end."""
    limits = [*edges, np.inf]
    return [
        Group(f'{low:g}-{high - 1:g}' if np.isfinite(high) else f'{low:g}+',
              low, high) for low, high in zip(limits, limits[1:])
    ]


def _match(frames: List[Detections], label: int,
           threshold: float) -> Tuple[np.ndarray, np.ndarray]:
    """Scores of a class, best first, and the value of the true object that
    each found, NaN for none."""
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
                        frame.true_centers[true] - frame.centers[i], axis=1),
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

    Of 101 levels of recall, those above 10 % count, with what precision
    exceeds 10 %, scaled to 0 to 1.

    Args:
        hits (np.ndarray): (P, ), bool, whether each detection found a true
            object, best scores first.
        count (int): True objects, at least one.
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
    """Average precision in groups of true objects.

    What finds an object of another group counts for neither side, as in
    COCO's evaluation by size; what finds nothing is wrong in every group.

    Args:
        frames (list[Detections]): All frames.
        edges (Sequence[float]): Least value of each group, increasing; a
            group ends below the next one. True objects below the first are
            of no group.
        thresholds (Sequence[float]): Distances that count as found.

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
