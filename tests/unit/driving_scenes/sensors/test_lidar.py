"""The spinning LiDAR: beams, geometry, noise, motion, echoes."""
import numpy as np
import pytest

from driving_scenes.labels import LABEL_IDS
from driving_scenes.materials import Mat
from driving_scenes.meshes import MeshBuilder
from driving_scenes.sensors import SpinningLidar
from driving_scenes.sensors.geometry import WorldGeometry
from driving_scenes.sensors.lidar import REFLECTIVITY
from driving_scenes.world import Conditions, Motion, SceneObject, World

EXACT = dict(range_noise=0., drop_out=0.)


def rng(seed=0):
    return np.random.default_rng(seed)


def make_world(
        objects=(), speed=0., turn=0., material=Mat.PAINT, visibility=1e6):
    b = MeshBuilder(LABEL_IDS['road'])
    b.quad([(-90, -90, 0), (90, -90, 0), (90, 90, 0), (-90, 90, 0)],
           material=material,
           color=(.5, .5, .5))
    sun = np.array([0., .6, .8])
    weather = Conditions('clear', sun, np.ones(3), np.full(3, .4),
                         np.full(3, .5), np.full(3, .7), 0., visibility)
    times = np.array([0., 10.])
    ego = Motion(times, np.array([[0., 0., 0.], [10. * speed, 0., 0.]]),
                 np.array([0., 10. * turn]))
    return World('w', 'nowhere', b.build(), list(objects), ego, weather, 10.)


def box(track_id, x, y, size=(4., 2., 2.), speed=0., material=Mat.SIGN):
    b = MeshBuilder(LABEL_IDS['car'])
    b.box((0, 0, size[2] / 2), size, material=material, color=(.5, .5, .5))
    motion = Motion.standing(x, y, 0.)
    if speed:
        motion = Motion(
            np.array([0., 10.]), np.array([[x, y, 0.], [x + 10 * speed, y,
                                                        0.]]), np.zeros(2))
    return SceneObject(track_id, 'vehicle.car', size, motion, b.build())


@pytest.mark.parametrize('lidar, beams, low, high', [
    (SpinningLidar.hdl32(90), 32, -30.67, 10.67),
    (SpinningLidar.hdl64(90), 64, -24.8, 2.),
])
def test_beams_turn_clockwise_from_the_rear(lidar, beams, low, high):
    rays = lidar.directions()
    assert rays.shape == (90, beams, 3)
    np.testing.assert_allclose((rays**2).sum(-1), 1)
    elevation = np.degrees(np.arcsin(rays[0, :, 2]))
    np.testing.assert_allclose(elevation[[0, -1]], (low, high), atol=1e-9)
    assert (np.diff(elevation) > 0).all()
    in_ego = rays.dot(lidar.rotation.T)
    azimuth = np.unwrap(np.arctan2(in_ego[:, 0, 1], in_ego[:, 0, 0]))
    assert abs(abs(azimuth[0]) - np.pi) < 1e-9
    np.testing.assert_allclose(np.diff(azimuth), -2 * np.pi / 90)


def test_ground_is_a_plane_at_the_height_of_the_sensor():
    geometry = WorldGeometry(make_world())
    lidar = SpinningLidar.hdl32(60, **EXACT)
    sweep = lidar.scan(geometry, 1., rng())
    assert len(sweep) > 500
    np.testing.assert_allclose(sweep.points[:, 2], -1.84, atol=1e-4)
    assert (sweep.label == LABEL_IDS['road']).all()
    assert (sweep.instance == 0).all() and (sweep.offset == 0).all()
    distance = np.sqrt((sweep.points.astype(float)**2).sum(1))
    assert distance.max() <= lidar.max_range
    # The lowest ring is the closest.
    assert distance[sweep.ring == 0].max() < distance[sweep.ring == 9].min()
    # Nothing of the car that carries it.
    assert distance.min() > 1.84 / np.sin(np.radians(30.68))


def test_frame_of_nuscenes_and_of_kitti():
    geometry = WorldGeometry(make_world([box(5, 12., 3.)]))
    middle = np.array([12. - 2., 3., 1.])
    cases = [
        (SpinningLidar.hdl32(360, **EXACT), (-3., 10. - .94, 1. - 1.84)),
        (SpinningLidar.hdl64(360, **EXACT), (10. - .76, 3., 1. - 1.73)),
    ]
    for lidar, expected in cases:
        np.testing.assert_allclose(
            lidar.to_sensor(geometry, 0., middle[None])[0], expected)
        points = lidar.scan(geometry, 0., rng())
        car = points.points[points.instance == 5]
        assert len(car) > 30
        assert (points.label[points.instance == 5] == 26).all()
        np.testing.assert_allclose(car[:, :2].mean(0), expected[:2], atol=.9)


def test_noise_is_along_the_ray():
    geometry = WorldGeometry(make_world())
    lidar = SpinningLidar.hdl32(200, range_noise=.05, drop_out=0.)
    noisy = lidar.scan(geometry, 0., rng(1))
    exact = SpinningLidar.hdl32(200, **EXACT).scan(geometry, 0., rng(1))
    assert len(noisy) == len(exact)
    far, near = (
        np.sqrt((s.points.astype(float)**2).sum(1)) for s in (noisy, exact))
    assert (far - near).std() == pytest.approx(.05, rel=.05)
    assert (far - near).mean() == pytest.approx(0, abs=.005)
    cosine = (noisy.points * exact.points).sum(1) / far / near
    np.testing.assert_allclose(cosine, 1, atol=1e-6)


def test_drop_out_and_range_limits():
    geometry = WorldGeometry(make_world())
    whole = len(SpinningLidar.hdl32(300, **EXACT).scan(geometry, 0., rng()))
    part = len(
        SpinningLidar.hdl32(300, range_noise=0.,
                            drop_out=.3).scan(geometry, 0., rng()))
    assert part / whole == pytest.approx(.7, abs=.03)
    near = SpinningLidar.hdl32(300, max_range=9., min_range=5., **EXACT)
    distance = np.sqrt((near.scan(geometry, 0., rng()).points**2).sum(1))
    assert 5. <= distance.min() and distance.max() <= 9.


def test_intensity_follows_material_and_angle():
    lidar = SpinningLidar.hdl32(360, **EXACT)
    mean = {}
    for material in (Mat.SIGN, Mat.PLAIN, Mat.GLASS):
        geometry = WorldGeometry(
            make_world([box(1, 10., 0., (1., 6., 4.), material=material)]))
        sweep = lidar.scan(geometry, 0., rng())
        assert sweep.intensity.min() >= 0 and sweep.intensity.max() <= 255
        assert (sweep.intensity == np.rint(sweep.intensity)).all()
        np.testing.assert_allclose(
            sweep.reflectance * 255, sweep.intensity, atol=1e-4)
        mean[material] = sweep.intensity[sweep.instance == 1].mean()
    assert mean[Mat.SIGN] > 200 > mean[Mat.PLAIN] > mean[Mat.GLASS]
    # The road is lit at a flatter angle the farther it is.
    ground = sweep.instance == 0
    low = sweep.intensity[ground & (sweep.ring == 1)].mean()
    assert low > sweep.intensity[ground & (sweep.ring == 12)].mean() + 20
    assert set(REFLECTIVITY) == set(Mat)


def test_dark_ground_is_lost_at_a_distance_and_fog_hides_more():
    lidar = SpinningLidar.hdl32(300, **EXACT)

    def reach(**kwargs):
        geometry = WorldGeometry(make_world(**kwargs))
        return len(lidar.scan(geometry, 0., rng()))

    bright, dark = reach(), reach(material=Mat.ASPHALT)
    fog = reach(material=Mat.ASPHALT, visibility=20.)
    assert bright > dark > fog > 0


def test_same_generator_same_points():
    geometry = WorldGeometry(make_world([box(1, 9., 1.)]))
    lidar = SpinningLidar.hdl32(100)
    one, two = (lidar.scan(geometry, 2., rng(7)) for _ in range(2))
    other = lidar.scan(geometry, 2., rng(8))
    for name in ('points', 'intensity', 'ring', 'offset', 'instance'):
        assert np.array_equal(getattr(one, name), getattr(two, name))
    assert one.points.dtype == one.intensity.dtype == np.float32
    assert len(one) != len(other) or not np.array_equal(
        one.points, other.points)


@pytest.mark.parametrize('turn', [0., .5])
def test_own_motion_is_corrected(turn):
    # Standing things stay where they are, whatever the car does meanwhile.
    geometry = WorldGeometry(
        make_world([box(1, 50., 6., (8., 3., 4.))], speed=8., turn=turn))
    lidar = SpinningLidar.hdl32(400, **EXACT)
    sweep = lidar.scan(geometry, 4., rng(), motion=True)
    assert sweep.offset.min() > -lidar.period
    assert sweep.offset.max() == 0 and (np.diff(sweep.offset) >= 0).all()
    rotation, translation = geometry.ego_pose(4.)
    world = (sweep.points.astype(float).dot(lidar.rotation.T) +
             lidar.position).dot(rotation.T) + translation
    np.testing.assert_allclose(world[sweep.instance == 0, 2], 0, atol=1e-4)
    car = world[sweep.instance == 1]
    assert len(car) > 20
    assert (np.abs(car - (50., 6., 2.)) < np.array([4., 1.5, 2.]) + 1e-3).all()


def test_moving_objects_are_smeared():
    # Behind the car, where a rotation begins and ends: the first points see
    # the object where it was a rotation ago.
    world = make_world([box(1, -95., 0., (.5, 40., 4.), speed=20.)])
    geometry = WorldGeometry(world)
    lidar = SpinningLidar.hdl32(400, period=.1, **EXACT)
    still = lidar.scan(geometry, 4., rng())
    moved = lidar.scan(geometry, 4., rng(), motion=True, object_steps=20)

    def depth(sweep, last):
        rows = np.flatnonzero(sweep.instance == 1)
        rows = rows[sweep.offset[rows] > -.05] if last else \
            rows[sweep.offset[rows] < -.05]
        return sweep.points[rows, 1].max()

    face = -95. + 80. + .25 - .94
    assert still.points[still.instance == 1, 1].max() == pytest.approx(
        face, abs=1e-3)
    assert depth(moved, True) == pytest.approx(face, abs=.1)
    assert depth(moved, False) == pytest.approx(face - 1.5, abs=.3)
    # The world is left at the time of the sweep.
    again = lidar.scan(geometry, 4., rng())
    assert np.array_equal(again.points, still.points)
