"""The camera: axes, depth, labels."""
import numpy as np
import pytest

from driving_scenes.labels import LABEL_IDS
from driving_scenes.meshes import MeshBuilder, concat
from driving_scenes.plan import build_world, draw_plan, make_city
from driving_scenes.sensors import PinholeCamera, Renderer
from driving_scenes.sensors.camera import Exposure
from driving_scenes.sensors.geometry import WorldGeometry
from driving_scenes.world import Conditions, Motion, World


def conditions():
    return Conditions('clear', np.array([0., .6, .8]), np.ones(3),
                      np.full(3, .4), np.full(3, .5), np.full(3, .7))


@pytest.fixture(scope='module')
def world():
    plan = draw_plan(make_city('alderford', 0), (3, ), 'truck', 'clear')
    return build_world(plan, (3, ), 'test')


def tiny_world(objects=()):
    """A floor, a sign in front, nothing else."""
    b = MeshBuilder(LABEL_IDS['road'])
    b.quad([(-50, -50, 0), (50, -50, 0), (50, 50, 0), (-50, 50, 0)])
    ego = Motion.standing(0, 0, 0)
    return World('tiny', 'nowhere', b.build(), list(objects), ego,
                 conditions(), 1.)


def test_camera_axes_and_projection():
    camera = PinholeCamera(64, 128, pitch=0.)
    front, left, up = (camera.rotation.T.dot(v) for v in np.eye(3))
    np.testing.assert_allclose(front, (0, 0, 1), atol=1e-12)
    np.testing.assert_allclose(left, (-1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(up, (0, -1, 0), atol=1e-12)
    down = PinholeCamera(64, 128, pitch=.1).rotation.dot([0, 0, 1])
    assert down[2] == pytest.approx(-np.sin(.1))
    rays = camera.rays(2)
    assert rays.shape == (64, 128, 4, 3)
    k = camera.intrinsics
    pixel = rays[10, 20].mean(0).dot(k.T)
    np.testing.assert_allclose(pixel, (20, 10, 1), atol=1e-9)
    # The outer edges of the outer pixels span the field of view.
    edge = np.degrees(np.arctan((k[0, 2] + .5) / k[0, 0]))
    assert edge == pytest.approx(27.)


def test_depth_of_a_plane_and_of_a_wall():
    b = MeshBuilder(LABEL_IDS['wall'])
    b.box((11, 0, 1), (2, 4, 2))
    world = tiny_world()
    world.static = concat([world.static, b.build()])
    camera = PinholeCamera(65, 129, pitch=0., position=(0., 0., 1.5))
    image, label, instance, depth = Renderer(world, 1).render(
        camera, 0., Exposure(), np.random.default_rng(0))
    assert image.dtype == np.uint8 and image.shape == (65, 129, 3)
    wall = label == LABEL_IDS['wall']
    np.testing.assert_allclose(depth[wall], 10, atol=1e-3)
    k = camera.intrinsics
    rows = np.broadcast_to(np.arange(65.)[:, None], depth.shape)
    expected = 1.5 * k[1, 1] / np.maximum(rows - k[1, 2], 1e-3)
    road = label == LABEL_IDS['road']
    np.testing.assert_allclose(depth[road], expected[road], rtol=1e-3)
    assert np.isinf(depth[label == LABEL_IDS['sky']]).all()
    assert (instance == 0).all()


def test_labels_come_from_one_of_a_pixels_rays(world):
    camera = PinholeCamera(32, 64)
    truth = Renderer(world, 2).render(camera, 3., Exposure(),
                                      np.random.default_rng(0))
    rot, pos = Renderer(world, 2).ego_pose(3.)
    rays = camera.rays(2).reshape(-1, 3)
    turn = rot.dot(camera.rotation)
    geometry = WorldGeometry(world)
    geometry.set_time(3.)
    hits = geometry.cast(pos + rot.dot(camera.position), rays.dot(turn.T))
    hits.label[np.isinf(hits.distance)] = LABEL_IDS['sky']
    same = (hits.label.reshape(32, 64, 4) == truth[1][..., None]) & \
        (hits.instance.reshape(32, 64, 4) == truth[2][..., None])
    close = np.isclose(
        hits.distance.reshape(32, 64, 4), truth[3][..., None], rtol=1e-4)
    assert (same & close).any(-1).mean() > .999


def test_projected_objects_are_where_their_mask_is(world):
    camera = PinholeCamera(96, 192)
    renderer = Renderer(world, 2)
    k = camera.intrinsics
    seen = 0
    for t in (2., 6.):
        _, _, instance, depth = renderer.render(camera, t, Exposure(),
                                                np.random.default_rng(0))
        rot, pos = renderer.ego_pose(t)
        for o in world.objects:
            mask = instance == o.track_id
            if mask.sum() < 30:
                continue
            v = o.mesh_at(t).vertices.astype(float)
            ego = (v - pos).dot(rot) - camera.position
            cam = ego.dot(camera.rotation)
            if cam[:, 2].min() < .5:
                continue
            u = cam[:, 0] / cam[:, 2] * k[0, 0] + k[0, 2]
            w = cam[:, 1] / cam[:, 2] * k[1, 1] + k[1, 2]
            rows, columns = np.nonzero(mask)
            assert columns.min() > u.min() - 1 and columns.max() < u.max() + 1
            assert rows.min() > w.min() - 1 and rows.max() < w.max() + 1
            assert depth[mask].min() > cam[:, 2].min() - .01
            assert depth[mask].max() < cam[:, 2].max() + .01
            seen += 1
    assert seen >= 4
