"""Sensors on the car: they look at one world and agree about it."""
import numpy as np
import pytest
from scipy import ndimage

from driving_scenes.plan import build_world, draw_plan, make_city
from driving_scenes.sensors import Renderer, kitti_rig, nuscenes_rig
from driving_scenes.sensors.camera import Exposure
from driving_scenes.sensors.rig import NUSCENES_CAMERAS


@pytest.fixture(scope='module')
def renderer():
    plan = draw_plan(make_city('alderford', 0), (0, 0, 2), 'bus', 'overcast')
    return Renderer(build_world(plan, (0, 0, 2), 'test'), 1)


def test_nuscenes_cameras_see_all_around():
    rig = nuscenes_rig(90, 160, 100)
    assert list(rig.cameras) == list(NUSCENES_CAMERAS)
    seen = np.zeros(360, int)
    for channel, camera in rig.cameras.items():
        front = camera.rotation.dot((0., 0., 1.))
        middle = np.degrees(np.arctan2(front[1], front[0]))
        assert ('LEFT' in channel) == (5 < middle < 175)
        assert camera.fov == (110 if channel == 'CAM_BACK' else 70)
        np.testing.assert_allclose(
            camera.rotation.dot(camera.rotation.T), np.eye(3), atol=1e-12)
        # The picture is upright.
        assert camera.rotation.dot((0., 1., 0.))[2] == pytest.approx(-1)
        half = camera.fov / 2
        for angle in range(360):
            off = (angle - middle + 180) % 360 - 180
            seen[angle] += abs(off) <= half
    assert seen.min() >= 1 and seen.max() <= 2
    lidar = rig.lidar
    assert lidar.position == (.94, 0., 1.84) and len(lidar.elevations) == 32
    np.testing.assert_allclose(
        lidar.rotation.dot((0., 1., 0.)), (1, 0, 0), atol=1e-12)


def test_kitti_camera_has_the_original_view():
    rig = kitti_rig(375, 1242, 100)
    k = rig.cameras['image_2'].intrinsics
    assert k[0, 0] == pytest.approx(721.5, rel=.01)
    assert rig.lidar.position[2] == 1.73
    np.testing.assert_array_equal(rig.lidar.rotation, np.eye(3))


@pytest.mark.parametrize('make', [nuscenes_rig, kitti_rig])
def test_points_fall_on_their_masks_and_depth(renderer, make):
    rig = make(126, 224, 400)
    lidar = rig.lidar
    sweep = lidar.scan(renderer.geometry, 4., np.random.default_rng(0))
    assert len(sweep) > 8000
    ego = sweep.points.astype(float).dot(lidar.rotation.T) + lidar.position
    right, through, count, objects, errors = 0, 0, 0, 0, []
    for camera in rig.cameras.values():
        _, label, instance, depth = renderer.render(camera, 4., Exposure(),
                                                    np.random.default_rng(0))
        local = (ego - camera.position).dot(camera.rotation)
        k = camera.intrinsics
        rows = np.flatnonzero(local[:, 2] > .5)
        pixel = np.rint(local[rows, :2] / local[rows, 2:] * k[[0, 1], [0, 1]] +
                        k[:2, 2]).astype(int)
        inside = ((pixel >= 0) &
                  (pixel < (camera.width, camera.height))).all(1)
        rows, (u, v) = rows[inside], pixel[inside].T
        keys = instance * 64 + label
        deep = np.where(np.isfinite(depth), depth, 1e4)
        border = (
            ndimage.maximum_filter(keys, 5) != ndimage.minimum_filter(keys, 5))
        slope = ndimage.maximum_filter(deep, 3) - ndimage.minimum_filter(
            deep, 3)
        error = local[rows, 2] - deep[v, u]
        # LiDAR and camera look from different places: what the camera
        # cannot see for something in front of it is not compared.
        hidden = error > slope[v, u] + .15
        away = ~border[v, u]
        through += ((error < -slope[v, u] - .15) & away).sum()
        away &= ~hidden
        count += away.sum()
        right += (instance[v, u] == sweep.instance[rows])[away].sum()
        objects += (sweep.instance[rows] > 0)[away].sum()
        smooth = away & (slope[v, u] < .02 * deep[v, u])
        errors.append(error[smooth])
    assert count > 3000 and objects > 100
    assert right / count > .99
    # No point lies in front of the surface that the camera sees.
    assert through / count < .01
    errors = np.concatenate(errors)
    assert len(errors) > 500
    assert np.median(np.abs(errors)) < 1.5 * lidar.range_noise


def test_cameras_of_one_time_share_the_geometry(renderer, monkeypatch):
    packed = []
    geometry = renderer.geometry
    pack = type(geometry)._pack
    monkeypatch.setattr(
        type(geometry), '_pack',
        staticmethod(lambda parts: packed.append(len(parts)) or pack(parts)))
    rig = nuscenes_rig(18, 32, 20)
    rng = np.random.default_rng(0)
    rig.lidar.scan(geometry, 7., rng)
    for camera in rig.cameras.values():
        renderer.render(camera, 7., Exposure(), rng)
    assert len(packed) == 1
    renderer.render(camera, 7.5, Exposure(), rng)
    assert len(packed) == 2
