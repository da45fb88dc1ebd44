"""Scenes recorded by nuScenes' car: six cameras, LiDAR, boxes."""
from dataclasses import dataclass
from typing import Dict, List, Optional, Set, Tuple

import numpy as np

from .plan import Plan, build_world, draw_plan, make_city
from .plan.features import add_trailer, add_works, show
from .plan.site import Site
from .presets import CITIES, SPLITS
from .seeds import Seed, child, named
from .sensors import Renderer, Rig, nuscenes_rig
from .sensors.camera import Exposure
from .sensors.geometry import WorldGeometry
from .world import SceneObject, World
from .writers.nuscenes import (CATEGORIES, NuScenesFrame, NuScenesMount,
                               NuScenesObject, NuScenesScene)

#: Light and weather in rotation; like nuScenes, mostly by day.
CONDITIONS = ('clear', 'overcast', 'clear', 'night', 'golden', 'clear', 'rain')
FEATURES = ('truck', 'bus', 'rider', 'wall', 'motorcycle', 'truck', 'fence')
#: Key frames per second.
RATE = 2
#: Maximum distance of annotated objects from the car, metres.
REACH = 70.
#: Minimum number of pixels for a camera to see an object.
SEEN_PIXELS = 4
#: Number of points on an object that determine its visibility.
SIGHT_POINTS = 48
#: Minimum speed of moving objects, m/s.
MOVES = .25
#: Minimum visible fraction of an object for visibility 2, 3 and 4.
VISIBLE_SHARES = (.4, .6, .8)
#: Margin of the map around the streets, metres.
MARGIN = 20.

#: Official scene numbers in the order of use: all of the mini splits, and the
#: first ones of the other official splits.
MINI = dict(train=(61, 553, 655, 757, 796, 1077, 1094, 1100), val=(103, 916))
FULL = dict(
    train=(*range(1, 3), *range(4, 12), *range(19, 35), *range(41, 77)),
    val=(3, *range(12, 19), 35, 36, 38, 39, *range(92, 111)),
    test=(*range(77, 92), *range(111, 120)))


@dataclass(frozen=True)
class NuScenesSize:
    """Size of a nuScenes data set.

    Args:
        train (int): Scenes of the training split.
        val (int): Scenes of the validation split.
        test (int): Scenes of the test split.
        frames (int): Key frames of a scene, at 2 Hz.
        sweeps (int): LiDAR sweeps between two key frames. Defaults to 1.
        height (int): Height of an image in pixels. Defaults to 112.
        width (int): Width in pixels. Defaults to 200, an eighth of the
            original.
        azimuth_steps (int): Measurements of each LiDAR beam in a rotation.
            Defaults to 400.
        supersample (int): Rays along each side of a pixel. Defaults to 1.
    """
    train: int
    val: int
    test: int
    frames: int
    sweeps: int = 1
    height: int = 112
    width: int = 200
    azimuth_steps: int = 400
    supersample: int = 1

    @property
    def version(self) -> str:
        """Version of the tables of training and validation."""
        fits = all(
            getattr(self, split) <= len(names)
            for split, names in MINI.items())
        return 'v1.0-mini' if fits else 'v1.0-trainval'

    def scene_name(self, split: str, number: int) -> str:
        """Official name of a scene.

        Args:
            split (str): ``'train'``, ``'val'`` or ``'test'``.
            number (int): Number of the scene within its split.
        """
        mini = self.version == 'v1.0-mini' and split != 'test'
        return f'scene-{(MINI if mini else FULL)[split][number]:04d}'


NUSCENES_SIZES: Dict[str, NuScenesSize] = {
    'tiny': NuScenesSize(1, 1, 1, 3, height=64, width=112, azimuth_steps=360),
    'quick': NuScenesSize(8, 2, 2, 4, height=96, width=168),
    'small': NuScenesSize(8, 2, 2, 8, height=96, width=168),
    'bench': NuScenesSize(40, 10, 16, 20),
}


def add_features(site: Site, rng: np.random.Generator) -> None:
    """Add roadworks, trailers, lorries and riders near the car."""
    add_works(site, child(rng))
    for feature, most in ((site.plan.feature, 1), ('truck', 1), ('bus', 1),
                          ('motorcycle', 2), ('rider', 2)):
        for _ in range(int(rng.integers(1, most + 1))):
            show(site, feature, child(rng))
    for _ in range(int(rng.integers(1, 4))):
        add_trailer(site, child(rng))


def nuscenes_category(thing: SceneObject) -> Optional[str]:
    """NuScenes' category of an object; None if it has none."""
    category = thing.category
    if category == 'vehicle.caravan':
        return 'vehicle.trailer'
    return category if category in CATEGORIES else None


def nuscenes_attribute(thing: SceneObject, t: float) -> str:
    """NuScenes' attribute of an object at a time, or ''."""
    if thing.category.startswith('vehicle.') and \
            not thing.attribute.startswith('cycle.'):
        if thing.motion.speed(t) > MOVES:
            return 'vehicle.moving'
        parked = thing.attribute == 'vehicle.parked'
        return 'vehicle.parked' if parked else 'vehicle.stopped'
    if thing.category.startswith('human.'):
        moves = thing.motion.speed(t) > MOVES
        return 'pedestrian.moving' if moves else 'pedestrian.standing'
    return thing.attribute


class _Sight:
    """Visibility of objects in the cameras.

    Args:
        world (World): The world.
        rig (Rig): Its cameras.
        rng (np.random.Generator): Chooses the points on the objects.
    """

    def __init__(self, world: World, rig: Rig,
                 rng: np.random.Generator) -> None:
        self.rig = rig
        self._points = {}
        for thing in world.objects:
            mesh = thing.mesh_at(0.)
            xyz, yaw = thing.motion.pose(0.)
            corners = mesh.vertices[mesh.faces].astype(np.float64) - xyz
            edges = np.cross(corners[:, 1] - corners[:, 0],
                             corners[:, 2] - corners[:, 0])
            area = np.sqrt((edges**2).sum(1))
            pick = rng.choice(len(area), SIGHT_POINTS, p=area / area.sum())
            a, b = rng.random((2, SIGHT_POINTS, 1))
            flip = a + b > 1
            a, b = np.where(flip, 1 - a, a), np.where(flip, 1 - b, b)
            tri = corners[pick]
            points = tri[:, 0] + a * (tri[:, 1] - tri[:, 0]) + \
                b * (tri[:, 2] - tri[:, 0])
            c, s = np.cos(yaw), np.sin(yaw)
            self._points[thing.track_id] = points.dot(
                np.array([[c, -s, 0.], [s, c, 0.], [0., 0., 1.]]))

    def shares(self, geometry: WorldGeometry, t: float,
               things: List[SceneObject]) -> np.ndarray:
        """Visible fraction of each object at a time, 0 to 1.

        A point is visible if the first hit of the ray to it is its object, so
        an object does not hide its own far side. A point outside all images
        is not visible.
        """
        if not things:
            return np.zeros(0)
        world = []
        for thing in things:
            xyz, yaw = thing.motion.pose(t)
            c, s = np.cos(yaw), np.sin(yaw)
            world.append(self._points[thing.track_id].dot(
                np.array([[c, s, 0.], [-s, c, 0.], [0., 0., 1.]])) + xyz)
        points = np.concatenate(world)
        own = np.repeat([thing.track_id for thing in things], SIGHT_POINTS)
        rotation, translation = geometry.ego_pose(t)
        ego = (points - translation).dot(rotation)
        origins = np.zeros_like(points)
        inside = np.zeros(len(points), bool)
        for camera in self.rig.cameras.values():
            local = (ego - camera.position).dot(camera.rotation)
            k = camera.intrinsics
            depth = np.maximum(local[:, 2], 1e-3)
            u = local[:, 0] / depth * k[0, 0] + k[0, 2]
            v = local[:, 1] / depth * k[1, 1] + k[1, 2]
            fits = (local[:, 2] > .1) & (u > -.5) & (v > -.5) & \
                (u < camera.width - .5) & (v < camera.height - .5) & ~inside
            origins[fits] = translation + rotation.dot(
                np.asarray(camera.position))
            inside |= fits
        rows = np.flatnonzero(inside)
        hits = geometry.cast(origins[rows], points[rows] - origins[rows])
        seen = np.zeros(len(points))
        seen[rows] = hits.instance == own[rows]
        return seen.reshape(len(things), SIGHT_POINTS).mean(1)


class _Place:
    """Position of a world on its map, entirely at positive x and y."""

    def __init__(self, world: World) -> None:
        self.areas = [area for kind in world.areas.values() for area in kind]
        corners = np.concatenate(self.areas)
        #: In the world, metres.
        self.origin = np.append(np.floor(corners.min(0) - MARGIN), 0.)
        extent = np.ceil(corners.max(0) + MARGIN) - self.origin[:2]
        self.extent: Tuple[float, float] = tuple(extent.tolist())


def _description(plan: Plan) -> str:
    """A short description of a scene, which mentions night and rain."""
    words = {'clear': 'Sun', 'golden': 'Low sun'}
    name = plan.conditions.name
    parts = [words.get(name, name.capitalize())]
    if name == 'night' and plan.conditions.wet:
        parts.append('wet road')
    return ', '.join([*parts, plan.ego.mode, plan.street.district])


def _mounts(rig: Rig) -> List[NuScenesMount]:
    """All sensors, the LiDAR last."""
    cameras = [
        NuScenesMount(channel, camera.position, camera.rotation,
                      camera.intrinsics)
        for channel, camera in rig.cameras.items()
    ]
    return cameras + [
        NuScenesMount(rig.lidar_channel, rig.lidar.position,
                      rig.lidar.rotation)
    ]


def nuscenes_world(size: NuScenesSize, seed: int, split: str,
                   number: int) -> Tuple[Plan, World, Seed]:
    """The world of a scene.

    Args:
        size (NuScenesSize): Sizes.
        seed (int): Seed of the data set.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        number (int): Number of the scene within its split.

    Returns:
        tuple: The plan, its world, and the numbers of the scene.
    """
    city = CITIES[split][number % len(CITIES[split])]
    # The streets differ from those of the other data sets. There are no
    # trams: nuScenes has no class for them.
    own = (seed, SPLITS.index(split), number, 2)
    plan = draw_plan(
        make_city(city, seed),
        own,
        FEATURES[number % len(FEATURES)],
        CONDITIONS[number % len(CONDITIONS)],
        max(2., size.frames / RATE),
        trams=False)
    world = build_world(plan, own, f'{city}-{number}', feature=add_features)
    return plan, world, own


def make_nuscenes_scene(
        size: NuScenesSize, seed: int, split: str,
        number: int) -> Tuple[NuScenesScene, List[NuScenesFrame]]:
    """Make a scene; it depends only on the arguments.

    Args:
        size (NuScenesSize): Sizes.
        seed (int): Seed of the data set.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        number (int): Number of the scene within its split.

    Returns:
        tuple: The scene, and its frames in the order of time.
    """
    plan, world, own = nuscenes_world(size, seed, split, number)
    rig = nuscenes_rig(size.height, size.width, size.azimuth_steps)
    place = _Place(world)
    scene = NuScenesScene(
        size.scene_name(split, number), split, number, plan.city.name,
        _description(plan), _mounts(rig),
        [area - place.origin[:2] for area in place.areas], place.extent)
    recorder = _Recorder(size, world, rig, place.origin, named(own, 'sensors'))
    step = 1 / RATE / (size.sweeps + 1)
    frames = [
        recorder.frame(step * i, i % (size.sweeps + 1) == 0)
        for i in range((size.frames - 1) * (size.sweeps + 1) + 1)
    ]
    _fill_gaps([frame for frame in frames if frame.is_key_frame])
    return scene, frames


class _Recorder:
    """Records the frames of a scene.

    Args:
        size (NuScenesSize): Sizes.
        world (World): Where the car drives.
        rig (Rig): Its sensors.
        origin (np.ndarray): (3, ), of the map's frame in the world, metres.
        rng (np.random.Generator): For noise and exposure.
    """

    def __init__(self, size: NuScenesSize, world: World, rig: Rig,
                 origin: np.ndarray, rng: np.random.Generator) -> None:
        self.world, self.rig, self.rng = world, rig, rng
        self.origin = origin
        self.renderer = Renderer(world, size.supersample)
        night = world.conditions.night > 0
        self.exposures = {
            channel: Exposure.random(child(rng), night)
            for channel in rig.cameras
        }
        self.sight = _Sight(world, rig, child(rng))

    def frame(self, t: float, is_key: bool) -> NuScenesFrame:
        """A sweep; a key frame also has images and all objects in range.

        Objects that no sensor sees have no visibility.
        """
        sweep = self.rig.lidar.scan(self.renderer.geometry, t, child(self.rng))
        points = np.concatenate(
            [sweep.points, sweep.intensity[:, None], sweep.ring[:, None]],
            1).astype(np.float32)
        xyz, yaw = self.world.ego.pose(t)
        frame = NuScenesFrame(t, xyz - self.origin, yaw, points)
        if not is_key:
            return frame
        seen: Set[int] = set()
        for channel, camera in self.rig.cameras.items():
            image, _, instance, _ = self.renderer.render(
                camera, t, self.exposures[channel], child(self.rng))
            frame.images[channel] = image
            ids, counts = np.unique(instance, return_counts=True)
            seen.update(ids[counts >= SEEN_PIXELS].tolist())
        near = [
            thing for thing in self.world.objects
            if nuscenes_category(thing) is not None and np.hypot(
                *(thing.motion.pose(t)[0] - xyz)[:2]) <= REACH
        ]
        shares = self.sight.shares(self.renderer.geometry, t, near)
        for thing, share in zip(near, shares.tolist()):
            label = self._label(thing, t, frame)
            if label.lidar_points or thing.track_id in seen:
                label.visibility = str(
                    1 + int(np.searchsorted(VISIBLE_SHARES, share, 'right')))
            frame.objects.append(label)
        return frame

    def _label(self, thing: SceneObject, t: float,
               frame: NuScenesFrame) -> NuScenesObject:
        """Annotation of an object; millimetres, as in the original."""
        length, width, height = np.round(thing.size, 3).tolist()
        xyz, yaw = thing.motion.pose(t)
        xyz = np.round(xyz - self.origin + (0, 0, thing.size[2] / 2), 3)
        return NuScenesObject(
            thing.track_id,
            nuscenes_category(thing) or '', nuscenes_attribute(thing, t), '',
            (width, length, height), tuple(xyz.tolist()), yaw,
            self._count(frame, xyz, yaw, (length, width, height)))

    def _count(self, frame: NuScenesFrame, xyz: np.ndarray, yaw: float,
               size: Tuple[float, float, float]) -> int:
        """Points of the sweep in a box of the map's frame."""
        lidar, reach = self.rig.lidar, max(size)
        c, s = np.cos(frame.yaw), np.sin(frame.yaw)
        x, y, z = xyz - frame.translation
        in_ego = np.array([c * x + s * y, c * y - s * x, z])
        middle = (in_ego - lidar.position).dot(lidar.rotation)
        near = (np.abs(frame.points[:, 0] - middle[0]) <= reach) & \
            (np.abs(frame.points[:, 1] - middle[1]) <= reach)
        offset = frame.points[near, :3] - middle
        turn = yaw - frame.yaw - lidar.yaw
        c, s = np.cos(turn), np.sin(turn)
        along = offset[:, 0] * c + offset[:, 1] * s
        across = offset[:, 1] * c - offset[:, 0] * s
        inside = np.abs(np.stack([along, across, offset[:, 2]], 1)) <= \
            np.array(size) / 2
        return int(inside.all(1).sum())


def _fill_gaps(keys: List[NuScenesFrame]) -> None:
    """Keep objects that are visible, or were before and will be again."""
    seen: Dict[int, List[int]] = {}
    for index, frame in enumerate(keys):
        for thing in frame.objects:
            if thing.visibility:
                seen.setdefault(thing.track_id, []).append(index)
    for index, frame in enumerate(keys):
        kept = []
        for thing in frame.objects:
            times = seen.get(thing.track_id, [])
            if times and times[0] <= index <= times[-1]:
                thing.visibility = thing.visibility or '1'
                kept.append(thing)
        frame.objects = kept
