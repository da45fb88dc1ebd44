"""Overlaps of boxes."""
import numpy as np
import pytest
from shapely.geometry import Polygon

from mmkd.evaluation.overlaps import image_overlap, rectangle_intersection
from tests.fixtures.rectangles import corners


@pytest.mark.parametrize('spread', [0, 1e-9, 1e-7, 1e-5, 1e-3, .1, 1.])
@pytest.mark.parametrize('turn', [0, np.pi / 2, np.pi])
def test_shared_area_is_shapelys(spread, turn):
    rng = np.random.default_rng(3)
    boxes = np.stack([
        rng.uniform(-40, 40, 200),
        rng.uniform(0, 70, 200),
        rng.uniform(.5, 5, 200),
        rng.uniform(.5, 2, 200),
        rng.choice([0, np.pi / 2, 1, -2], 200)
    ], 1)
    others = boxes + rng.normal(size=boxes.shape) * spread
    others[:, 2:4] = np.maximum(others[:, 2:4], .1)
    others[:, 4] += turn
    expected = [
        Polygon(corners(a)).intersection(Polygon(corners(b))).area
        for a, b in zip(boxes, others)
    ]
    np.testing.assert_allclose(
        rectangle_intersection(boxes, others), expected, atol=1e-6)


def test_overlap_in_an_image():
    boxes = [[0, 0, 4, 2], [10, 10, 11, 11]]
    others = [[2, 0, 6, 2], [0, 0, 4, 2], [4, 0, 8, 2]]
    assert image_overlap(boxes, others).tolist() == [[1 / 3, 1, 0], [0, 0, 0]]
    share = image_overlap(boxes, others, of_first=True)
    assert share.tolist() == [[.5, 1, 0], [0, 0, 0]]
