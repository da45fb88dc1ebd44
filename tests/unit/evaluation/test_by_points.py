"""Average precision by number of points."""
import numpy as np
import pytest

from mmkd.evaluation.by_points import (Detections, average_precision,
                                       precision_by_group)


def frame(found, true):
    """Found: (x, score, label); true: (x, label, points)."""
    found = np.array(found, float).reshape(-1, 3)
    true = np.array(true, float).reshape(-1, 3)
    flat = np.zeros((len(found), 1)), np.zeros((len(true), 1))
    return Detections(
        np.concatenate([found[:, :1], flat[0]],
                       1), found[:, 1], found[:, 2].astype(int),
        np.concatenate([true[:, :1], flat[1]], 1), true[:, 1].astype(int),
        true[:, 2])


def test_precision_by_hand():
    assert average_precision(np.array([True, True]), 2) == pytest.approx(1)
    assert average_precision(np.array([], bool), 2) == 0
    assert average_precision(np.array([False]), 1) == 0
    # Half of all, all right: recall levels up to 0.5, of 0.11 to 1.
    assert average_precision(np.array([True]), 2) == pytest.approx(40 / 90)


def test_agrees_with_nuscenes_devkit():
    from nuscenes.eval.detection.algo import calc_ap
    from nuscenes.eval.detection.data_classes import DetectionMetricData
    rng = np.random.default_rng(0)
    for _ in range(5):
        hits = rng.random(50) > .4
        found = np.cumsum(hits)
        count = int(hits.sum()) + 5
        precision = found / np.arange(1, 51)
        levels = np.linspace(0, 1, 101)
        data = DetectionMetricData(
            levels, np.interp(levels, found / count, precision, right=0),
            *[np.zeros(101)] * 6)
        assert average_precision(hits, count) == pytest.approx(
            calc_ap(data, .1, .1))


def test_groups():
    frames = [
        # The dense object is found, the sparse one is not.
        frame([(0, .9, 0), (50, .8, 0)], [(0.1, 0, 200), (20, 0, 3)]),
        frame([(0, .7, 0)], [(0.1, 0, 150), (5, 0, 0)])
    ]
    groups = precision_by_group(frames)
    assert list(groups) == ['1-5', '6-20', '21-100', '101+']
    assert [x['objects'] for x in groups.values()] == [1, 0, 0, 2]
    assert groups['1-5']['ap'] == 0 and np.isnan(groups['6-20']['ap'])
    assert 0 < groups['101+']['ap'] < 1  # the wrong one in between
    # What finds an object of another group is not wrong in this one.
    without = precision_by_group([
        frames[0]._replace(
            centres=frames[0].centres[:1],
            scores=frames[0].scores[:1],
            labels=frames[0].labels[:1]), frames[1]
    ])
    assert without['101+']['ap'] == pytest.approx(1)


def test_one_detection_finds_one_object():
    twice = [frame([(0, .9, 0), (.1, .8, 0)], [(0, 0, 10)])]
    # At the last level of recall precision is a half, as in the devkit.
    assert precision_by_group(twice)['6-20']['ap'] == pytest.approx(
        (89 * .9 + .4) / 90 / .9)
    other_class = [frame([(0, .9, 1)], [(0, 0, 10)])]
    assert precision_by_group(other_class)['6-20']['ap'] == 0
    by_hidden = precision_by_group(
        [frame([(0, .9, 0)], [(0, 0, 2), (9, 0, 0)])], edges=(0, 1, 2))
    assert by_hidden['2+']['ap'] == pytest.approx(1)
    assert by_hidden['0-0']['ap'] == 0
    assert precision_by_group([])['1-5']['objects'] == 0
