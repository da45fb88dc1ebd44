"""Registration of views of an object."""
import numpy as np

from mmkd.methods.xray.data.boxes import pose_of_box, transform, upright_box
from mmkd.methods.xray.data.registration import ALIGNED, TOO_FEW, register


def _car(rng, sides, count=400):
    """A car's outline with a bonnet, as seen from some sides."""
    size = np.array([4.4, 1.8, 1.5])
    points = rng.uniform(-.5, .5, (count, 3))
    side = rng.choice(sides, count)
    for number, (axis, sign) in enumerate(((0, 1), (1, 1), (0, -1), (1, -1))):
        points[side == number, axis] = sign * .5
    points *= size
    bonnet = (points[:, 0] > .8) & (points[:, 2] > .1)
    points[bonnet, 2] = .1
    return points + rng.normal(0, .02, points.shape)


def test_aligned_views_stay():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        motion, _ = register(_car(rng, [0, 1]), _car(rng, [0, 1]))
        assert np.array_equal(motion, np.eye(4))


def test_views_are_brought_together():
    errors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cloud, view = _car(rng, [0, 1, 2]), _car(rng, [0, 1, 2])
        wrong = pose_of_box(
            upright_box((.32, .32, 0), (1, 1, 1), np.radians(10)))
        motion, status = register(transform(view, wrong), cloud)
        found = transform(transform(view, wrong), motion)
        errors.append(np.linalg.norm(found - view, axis=1).mean())
        assert status == ALIGNED
    assert np.mean(errors) <= .1


def test_opposite_views_are_rejected():
    moved = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        motion, _ = register(_car(rng, [0, 1]), _car(rng, [2, 3]))
        moved += not np.array_equal(motion, np.eye(4))
    assert moved <= 3


def test_registration_never_raises():
    rng = np.random.default_rng(0)
    car = _car(rng, [0, 1])
    for view in (car[:0], car[:5], np.full(
        (40, 3), np.nan), car + 100, np.zeros((40, 3))):
        motion, status = register(view, car)
        assert np.array_equal(motion, np.eye(4)) and status >= TOO_FEW
