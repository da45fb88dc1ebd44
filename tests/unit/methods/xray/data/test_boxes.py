"""Boxes: poses, points inside."""
import numpy as np
import pytest

from mmkd.methods.xray.data.boxes import (box_of_pose, points_in_box,
                                          points_in_boxes, pose_of_box,
                                          transform, upright_box, yaw_of_box)


@pytest.mark.parametrize('offset', [0., 2000.])
def test_round_trip(offset):
    rng = np.random.default_rng(0)
    points = rng.uniform(-100, 100, (2000, 3)).astype(np.float32)
    sensor = pose_of_box(upright_box((offset, -offset, 2), (1, 1, 1), .7))
    for yaw in rng.uniform(-np.pi, np.pi, 5):
        # In the world, and from there to the sensor, composed in float64.
        world = sensor @ pose_of_box(upright_box((20, 9, -1), (4, 2, 2), yaw))
        pose = np.linalg.inv(sensor) @ world
        local = transform(points, np.linalg.inv(pose)).astype(np.float32)
        back = transform(local, pose).astype(np.float32)
        assert np.abs(back - points).max() <= 2e-5


def test_numbers_of_a_box():
    box = upright_box((1, 2, 3), (4, 2, 1.5), 2.5)
    assert np.allclose(box_of_pose(pose_of_box(box), box[3:6]), box)
    assert yaw_of_box(box) == pytest.approx(2.5)


def test_points_in_a_box_by_hand():
    box = upright_box((10, 0, 0), (4, 2, 2), np.pi / 2)  # along y
    points = np.array([[10, 2, 0], [10, 2.01, 0], [11, 0, 0], [11.05, 0, 0],
                       [10, 0, -1], [10, 0, 1.2]])
    assert points_in_box(points, box, 0.).tolist() == [0, 2, 4]
    assert points_in_box(points, box, .06).tolist() == [0, 1, 2, 3, 4]
    improper = np.stack([box, box])
    improper[0, 3], improper[1, 0] = 0, np.nan
    assert [len(x) for x in points_in_boxes(points, improper)] == [0, 0]
