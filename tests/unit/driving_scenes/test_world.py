"""The world of the scenes: meshes, motion, places, rays and cameras."""
import numpy as np
import pytest

from driving_scenes.assets import people, plants, street, vehicles
from driving_scenes.labels import (CATEGORY_LABELS, CLASSES, LABEL_IDS, LABELS,
                                   train_id_table)
from driving_scenes.materials import Mat, Points, shade
from driving_scenes.meshes import MeshBuilder, concat, icosphere
from driving_scenes.plan import FEATURES, build_world, draw_plan, make_city
from driving_scenes.plan.site import overlaps
from driving_scenes.sensors import PinholeCamera, Renderer
from driving_scenes.sensors.camera import Exposure
from driving_scenes.sensors.geometry import WorldGeometry
from driving_scenes.world import Conditions, Motion, World, random_conditions


def rng(seed=0):
    return np.random.default_rng(seed)


def conditions():
    return Conditions('clear', np.array([0., .6, .8]), np.ones(3),
                      np.full(3, .4), np.full(3, .5), np.full(3, .7))


@pytest.fixture(scope='module')
def world():
    plan = draw_plan(make_city('alderford', 0), (3, ), 'truck', 'clear')
    return build_world(plan, (3, ), 'test')


# ---- labels ---------------------------------------------------------------


def test_labels_are_the_official_ones():
    from cityscapesscripts.helpers.labels import labels as official
    theirs = {x.name: x for x in official if x.id >= 0}
    assert len(LABELS) == len(theirs)
    for label in LABELS:
        other = theirs[label.name]
        assert label.id == other.id
        assert label.color == other.color
        assert label.has_instances == other.hasInstances
        assert label.train_id == (other.trainId if other.trainId < 19 else 255)
    assert len(CLASSES) == 19
    assert train_id_table()[LABEL_IDS['bicycle']] == 18
    assert set(CATEGORY_LABELS.values()) <= set(LABEL_IDS)


# ---- meshes ---------------------------------------------------------------


def test_primitives_are_where_they_should_be():
    b = MeshBuilder(7)
    b.box((1, 2, 3), (2, 4, 6))
    low, high = b.build().bounds()
    np.testing.assert_allclose(low, (0, 0, 0), atol=1e-6)
    np.testing.assert_allclose(high, (2, 4, 6), atol=1e-6)
    for axis in np.eye(3):
        b = MeshBuilder()
        b.tube(-axis, axis * 2, .5, sides=16)
        low, high = b.build().bounds()
        np.testing.assert_allclose(low[axis > 0], -1, atol=1e-6)
        np.testing.assert_allclose(high[axis > 0], 2, atol=1e-6)
        np.testing.assert_allclose(high[axis == 0], .5, atol=.02)
    v, f = icosphere(2)
    np.testing.assert_allclose((v**2).sum(1), 1)
    assert len(f) == 20 * 16


def test_attributes_follow_their_faces():
    b = MeshBuilder(3)
    b.box((0, 0, 0), (1, 1, 1), material=Mat.GLASS, color=(.1, .2, .3))
    b.quad([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)],
           uv=[(0, 0), (5, 0), (5, 7), (0, 7)],
           label=9)
    inner = b.build()
    outer = MeshBuilder(4)
    outer.merge(inner)
    outer.box((9, 9, 9), (1, 1, 1))
    mesh = outer.build()
    mesh = concat([mesh, mesh.moved((1, 0, 0))])
    assert len(mesh) == 2 * (12 + 2 + 12)
    assert mesh.faces.max() == len(mesh.vertices) - 1
    quads = np.flatnonzero(mesh.label == 9)
    assert len(quads) == 4
    assert mesh.uv[quads].max() == 7
    np.testing.assert_allclose(mesh.color[mesh.material == Mat.GLASS],
                               np.tile([[.1, .2, .3]], (24, 1)))


def test_moved_turns_about_z_then_shifts():
    b = MeshBuilder()
    b.box((2, 0, 1), (2, 1, 2))
    low, high = b.build().moved((10, 20, .5), np.pi / 2).bounds()
    np.testing.assert_allclose(low, (9.5, 21, .5), atol=1e-5)
    np.testing.assert_allclose(high, (10.5, 23, 2.5), atol=1e-5)


@pytest.mark.parametrize('make', [
    vehicles.car, vehicles.truck, vehicles.bus, vehicles.train,
    vehicles.trailer, vehicles.caravan, vehicles.bicycle, vehicles.motorcycle,
    vehicles.construction
])
def test_vehicles_fill_their_boxes(make):
    for seed in range(6):
        mesh, (length, width, height) = make(rng(seed))
        low, high = mesh.bounds()
        assert np.isfinite(mesh.vertices).all()
        assert -.06 < low[2] < .35
        size = high - low
        assert size[0] == pytest.approx(length, rel=.12, abs=.2)
        assert size[1] == pytest.approx(width, rel=.2, abs=.25)
        assert .8 * height < high[2] < 1.15 * height + 1.4


def test_people_stand_walk_and_ride():
    for seed in range(6):
        who = people.Person(rng(seed), child=seed == 0)
        for mesh in (who.walking(0., 0.), who.walking(1.3)):
            low, high = mesh.bounds()
            assert -.05 < low[2] < .06
            assert high[2] == pytest.approx(who.height, rel=.08)
            assert set(mesh.label) == {LABEL_IDS['person']}
        for motor in (False, True):
            mesh = who.riding(.5, motor)
            assert np.isfinite(mesh.vertices).all()
            assert set(mesh.label) == {LABEL_IDS['rider']}


@pytest.mark.parametrize('kind', ['round', 'tall', 'conifer', 'bare', 'young'])
def test_trees_stand_on_the_ground(kind):
    mesh = plants.tree(rng(), kind)
    low, high = mesh.bounds()
    assert low[2] > -.4 and 3 < high[2] < 16
    assert set(mesh.label) == {LABEL_IDS['vegetation']}


def test_signs_and_lights_face_their_traffic():
    mesh = street.traffic_light(rng(), 0)
    lamp = (mesh.material == Mat.LAMP) & (mesh.param[:, 0] > 0)
    assert lamp.any()
    assert mesh.vertices[mesh.faces[lamp]][..., 0].max() < -.2
    # Red is the uppermost lamp, and the one that shines.
    assert mesh.color[lamp].mean(0).argmax() == 0
    z = mesh.vertices[mesh.faces[lamp]][..., 2].mean()
    dark = (mesh.material == Mat.LAMP) & ~lamp
    assert z > mesh.vertices[mesh.faces[dark]][..., 2].mean()


def test_every_material_shades_to_finite_light():
    n = 500
    r = rng()
    for night, wet in ((0., 0.), (1., 1.)):
        for kind in Mat:
            points = Points(
                r.uniform(-40, 40, (n, 2)), r.uniform(0, .8, (n, 3)),
                r.uniform(.5, 3, (n, 4)), r.uniform(.001, 2, n),
                r.uniform(-1, 1, n), night, wet)
            surface = shade(np.full(n, kind, np.uint8), points)
            for value in (surface.albedo, surface.gloss, surface.emission):
                assert np.isfinite(value).all() and (value >= 0).all()
            assert surface.albedo.max() <= .95


# ---- places and motion ----------------------------------------------------


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


def test_a_city_looks_the_same_each_time():
    one, two = make_city('kelso', 0), make_city('kelso', 0)
    np.testing.assert_array_equal(one.asphalt, two.asphalt)
    assert (make_city('kelso', 1).asphalt != one.asphalt).any()
    assert 'train' in FEATURES


@pytest.mark.parametrize(
    'name', ['clear', 'overcast', 'golden', 'fog', 'rain', 'night'])
def test_conditions_have_a_sun_above_the_horizon(name):
    c = random_conditions(rng(), name)
    assert c.sun_dir[2] > 0
    assert (c.sun_dir**2).sum() == pytest.approx(1)
    assert (c.night > 0) == (name == 'night')


# ---- rays and cameras -----------------------------------------------------


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
    image, label, instance, depth = Renderer(world,
                                             1).render(camera, 0., Exposure(),
                                                       rng())
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
    truth = Renderer(world, 2).render(camera, 3., Exposure(), rng())
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
        _, _, instance, depth = renderer.render(camera, t, Exposure(), rng())
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
