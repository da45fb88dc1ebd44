"""The world of the scenes: meshes, motion, places, rays and cameras."""
import numpy as np
import pytest

from driving_scenes.labels import CATEGORY_LABELS, LABEL_IDS
from driving_scenes.plan import build_world, draw_plan, make_city
from driving_scenes.plan.site import overlaps
from driving_scenes.sensors.geometry import WorldGeometry
from driving_scenes.world import Motion, random_conditions


@pytest.fixture(scope='module')
def world():
    plan = draw_plan(make_city('alderford', 0), (3, ), 'truck', 'clear')
    return build_world(plan, (3, ), 'test')


def test_motion_interpolates_and_gives_velocity():
    t = np.arange(0., 5.)
    motion = Motion(t, np.stack([2 * t, 0 * t, 0 * t], 1), .1 * t)
    xyz, yaw = motion.pose(1.5)
    np.testing.assert_allclose(xyz, (3, 0, 0))
    assert yaw == pytest.approx(.15)
    np.testing.assert_allclose(motion.velocity(2.), (2, 0, 0), atol=1e-9)
    assert motion.moves and motion.speed(2.) == pytest.approx(2)
    standing = Motion.standing(1, 2, .5)
    assert not standing.moves and standing.speed(1.) == 0


def test_objects_have_tracks_and_known_categories(world):
    ids = [o.track_id for o in world.objects]
    assert ids == list(range(1, len(ids) + 1))
    assert len(ids) > 20
    for o in world.objects:
        assert o.category in CATEGORY_LABELS
        assert all(side > 0 for side in o.size)
        mesh = o.mesh_at(1.)
        allowed = {LABEL_IDS[CATEGORY_LABELS[o.category]]}
        if o.attribute == 'cycle.with_rider':
            allowed.add(LABEL_IDS['rider'])
        assert set(mesh.label) <= allowed
    assert any(o.motion.moves for o in world.objects)
    assert any(o.category == 'vehicle.truck' for o in world.objects)


def test_objects_never_meet(world):
    for t in np.arange(0., world.duration, .5):
        boxes = []
        for o in world.objects:
            xyz, yaw = o.motion.pose(t)
            boxes.append((xyz[0], xyz[1], yaw, o.size[0], o.size[1]))
        boxes = np.array(boxes)
        hit = overlaps(boxes[:, None], boxes[None])
        assert not (hit & ~np.eye(len(boxes), dtype=bool)).any()
        assert (np.array([o.motion.pose(t)[0][2] for o in world.objects])
                < .2).all()


def test_nobody_drives_faster_than_physics(world):
    for o in world.objects:
        speeds = [o.motion.speed(t) for t in np.arange(.5, 9.5, .5)]
        assert max(speeds) < (3 if 'pedestrian' in o.category else 20)
        if 'pedestrian' in o.category or max(speeds) < .5:
            continue
        # Vehicles head where they go.
        velocity = o.motion.velocity(5.)
        if np.sqrt((velocity**2).sum()) > .5:
            yaw = o.motion.pose(5.)[1]
            along = velocity[0] * np.cos(yaw) + velocity[1] * np.sin(yaw)
            assert along > .9 * np.sqrt((velocity**2).sum())


@pytest.mark.parametrize(
    'name', ['clear', 'overcast', 'golden', 'fog', 'rain', 'night'])
def test_conditions_have_a_sun_above_the_horizon(name):
    c = random_conditions(np.random.default_rng(0), name)
    assert c.sun_dir[2] > 0
    assert (c.sun_dir**2).sum() == pytest.approx(1)
    assert (c.night > 0) == (name == 'night')


def test_moving_objects_move_and_the_rest_stands_still(world):
    mover = next(o for o in world.objects if o.motion.moves)
    first, _ = mover.motion.pose(1.)
    geometry = WorldGeometry(world)
    for t in (1., 2.):
        geometry.set_time(t)
        xyz, _ = mover.motion.pose(t)
        down = np.array([[0., 0., -1.]])
        top = geometry.cast(xyz + np.array([0, 0, mover.size[2] + .8]), down)
        assert top.instance[0] in (mover.track_id, 0)
    assert abs(mover.motion.pose(2.)[0] - first).max() > .1
