"""Average precision at the recall points of KITTI."""
from typing import Dict, Optional, Tuple

import numpy as np

from mmkd.evaluation.kitti_matching import COUNTS, Boxes, Matching, Pairs

RECALL_POINTS = 41


def recall_thresholds(scores: np.ndarray, num_truth: int) -> np.ndarray:
    """Scores at which recall comes closest to 0, 1/40, ..., 1.

    Args:
        scores (np.ndarray): (N, ), scores of the true positives.
        num_truth (int): Number of ground-truth boxes that count.

    Returns:
        np.ndarray: (T, ), decreasing, T at most 41.
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
    """``value / total`` at 41 recalls, made monotonic; 0 past the last one."""
    ratio = value / np.maximum(total, 1)
    curve = np.zeros(RECALL_POINTS)
    curve[:len(ratio)] = np.maximum.accumulate(ratio[::-1])[::-1]
    return curve


def _average(curve: np.ndarray) -> Dict[str, float]:
    """AP in percent over 11 and over 40 recall points."""
    return dict(
        AP11=100 * curve[::4].sum() / 11, AP40=100 * curve[1:].sum() / 40)


def precision_of(pairs: Optional[Pairs], predicted: Boxes, truth: Boxes,
                 states_p: np.ndarray, states_t: np.ndarray, minimum: float,
                 excused: np.ndarray) -> Tuple[Dict[str, float], ...]:
    """AP and average orientation similarity, by number of points."""
    num_truth = int((states_t == COUNTS).sum())
    if pairs is None or not num_truth:
        return _average(np.zeros(RECALL_POINTS)), _average(
            np.zeros(RECALL_POINTS))
    matching = Matching(pairs, truth, states_t, states_p, minimum)
    thresholds = recall_thresholds(matching.scores(predicted.score), num_truth)
    right, wrong, similarity = matching.count(predicted.score, thresholds,
                                              excused, predicted.alpha,
                                              truth.alpha)
    total = right + wrong
    return (_average(_curve(right,
                            total)), _average(_curve(similarity, total)))
