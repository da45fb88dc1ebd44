"""Rectangles on the ground."""
import numpy as np

from driving_scenes.plan.site import overlaps


def test_rectangles_overlap_or_do_not():
    a = np.array([0., 0., 0., 4., 2.])
    cases = [((3.9, 0, 0, 4, 2), True), ((4.1, 0, 0, 4, 2), False),
             ((0, 2.1, 0, 4, 2), False), ((3.1, 0, np.pi / 2, 4, 2), False),
             ((2.9, 0, np.pi / 2, 4, 2), True),
             ((2.6, 1.6, np.pi / 4, 1, 1), False),
             ((2.3, 1.3, np.pi / 4, 1, 1), True)]
    for other, expected in cases:
        assert overlaps(a, np.array(other, float)) == expected
        assert overlaps(np.array(other, float), a) == expected
