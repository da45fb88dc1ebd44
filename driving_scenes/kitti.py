"""Scenes recorded by KITTI's car, with the labels of the benchmark."""
from dataclasses import dataclass
from typing import Dict, Iterator, List, Optional, Tuple

import numpy as np
import open3d as o3d

from .plan import build_world, draw_plan, make_city
from .plan.features import add_feature, show
from .plan.pedestrians import add_pedestrians
from .plan.site import Site
from .presets import CITIES, SPLITS
from .seeds import child, named
from .sensors import PinholeCamera, Renderer, Rig, kitti_rig
from .sensors.camera import Exposure, rotation_about
from .world import SceneObject, World
from .writers.kitti import KittiFrame, KittiObject

#: KITTI was recorded by day and in dry weather. Without a sun, one ray per
#: pixel would show the sampling pattern of the sky.
CONDITIONS = ('clear', 'golden', 'clear')
#: Guaranteed features of scenes in addition to riders, in rotation.
FEATURES = ('rider', 'truck', 'motorcycle', 'train', 'rider', 'bus', 'wall',
            'construction', 'rider', 'fence', 'truck')
#: Numbers of riders and of rounds of pedestrians added to a scene, since few
#: come close enough to be easy to detect.
RIDERS = 4
PEOPLE = 2
#: Cars higher than this are vans, metres.
VAN_HEIGHT = 1.85
#: An object is labelled if it has this many visible pixels, its box has this
#: height, this fraction of it is visible, and it is within this distance
#: (metres); otherwise it becomes a ``DontCare`` region.
LABEL_PIXELS = 12
LABEL_HEIGHT = 10.
LABEL_SHARE = .1
LABEL_DISTANCE = 75.
#: Minimum visible fraction for occlusion 0, 1 and 2.
VISIBLE_SHARES = (.85, .5, .2)
#: Positions of cameras 0 to 3 along the x axis of camera 0, metres.
BASELINES = (0., .54, -.06, .48)
#: Rectifying rotation of the cameras about x, y and z, radians: small but not
#: zero, as in the original.
RECTIFICATION = (.004, -.007, .01)
_NEAR = .2


@dataclass(frozen=True)
class KittiSize:
    """Size of a KITTI data set.

    Args:
        train (int): Scenes of the training split.
        val (int): Scenes of the validation split.
        test (int): Scenes of the test split.
        frames (int): Frames of a scene, evenly over its ten seconds.
        height (int): Height of an image in pixels. Defaults to 192.
        width (int): Width in pixels. Defaults to 624, half of the original.
        azimuth_steps (int): Measurements of each LiDAR beam in a rotation.
            Defaults to 1024, half of the original.
        supersample (int): Rays along each side of a pixel. Defaults to 1.
    """
    train: int
    val: int
    test: int
    frames: int
    height: int = 192
    width: int = 624
    azimuth_steps: int = 1024
    supersample: int = 1

    def place(self, split: str, number: int) -> Tuple[int, int]:
        """Number of a scene in the data set, and of its first frame."""
        before = {'train': 0, 'val': self.train, 'test': self.train + self.val}
        first = number if split == 'test' else before[split] + number
        return before[split] + number, first * self.frames


KITTI_SIZES: Dict[str, KittiSize] = {
    'tiny': KittiSize(1, 1, 1, 2, 96, 312, 512),
    'quick': KittiSize(9, 3, 3, 4),
    'small': KittiSize(10, 3, 3, 6),
    'bench': KittiSize(70, 14, 24, 10),
}


def add_features(site: Site, rng: np.random.Generator) -> None:
    """Add the feature of the plan and riders near the car."""
    add_feature(site, child(rng))
    for _ in range(RIDERS):
        show(site, 'rider', child(rng))


def add_people(site: Site, rng: np.random.Generator) -> None:
    """Add more pedestrians than other streets have."""
    for _ in range(PEOPLE):
        add_pedestrians(site, child(rng))


def kitti_class(thing: SceneObject) -> Optional[str]:
    """KITTI's class of an object; None if KITTI does not label it.

    KITTI does not label two-wheelers without a rider, cones and barriers.
    Motorcyclists, buses, trailers and machines are ``Misc``.
    """
    category = thing.category
    if category == 'vehicle.car':
        return 'Van' if thing.size[2] > VAN_HEIGHT else 'Car'
    if category.startswith('human.pedestrian'):
        return 'Pedestrian'
    if category in ('vehicle.bicycle', 'vehicle.motorcycle'):
        if thing.attribute != 'cycle.with_rider':
            return None
        return 'Cyclist' if category == 'vehicle.bicycle' else 'Misc'
    if category == 'vehicle.truck':
        return 'Truck'
    if category == 'vehicle.train':
        return 'Tram'
    return 'Misc' if category.startswith('vehicle.') else None


def _transform(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    return matrix


def _wrap(angle: float) -> float:
    """An angle between -pi and pi."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


class KittiCar:
    """The rig in a world: calibration and labels.

    Args:
        world (World): Where it drives.
        rig (Rig): Of :func:`.sensors.kitti_rig`.
    """

    def __init__(self, world: World, rig: Rig) -> None:
        self.world, self.lidar = world, rig.lidar
        self.camera: PinholeCamera = rig.cameras['image_2']
        to_ego = _transform(self.camera.rotation, self.camera.position)
        to_ego = to_ego @ _transform(np.eye(3), (-BASELINES[2], 0, 0))
        #: From the ego frame to the rectified frame of camera 0, (4, 4).
        self.ego_to_rect = np.linalg.inv(to_ego)
        self.velo_to_ego = _transform(self.lidar.rotation, self.lidar.position)

    def calibration(self) -> Dict[str, np.ndarray]:
        """The matrices of KITTI's files, by name."""
        found = {}
        for i, shift in enumerate(BASELINES):
            offset = np.array([[-shift], [0.], [0.]])
            found[f'P{i}'] = self.camera.intrinsics @ np.hstack(
                [np.eye(3), offset])
        rotation = np.eye(3)
        for axis, angle in enumerate(RECTIFICATION):
            rotation = rotation @ rotation_about(axis, angle)
        found['R0_rect'] = rotation
        velo_to_cam = _transform(rotation.T, np.zeros(3)) @ (
            self.ego_to_rect @ self.velo_to_ego)
        found['Tr_velo_to_cam'] = velo_to_cam[:3]
        found['Tr_imu_to_velo'] = np.linalg.inv(self.velo_to_ego)[:3]
        return found

    def plane(self) -> np.ndarray:
        """The road in the rectified frame: normal and offset, (4, )."""
        normal = self.ego_to_rect[:3, 2]
        return np.append(normal, -normal @ self.ego_to_rect[:3, 3])

    def ego_pose(self, t: float) -> np.ndarray:
        """From the ego frame to the world, (4, 4)."""
        xyz, yaw = self.world.ego.pose(t)
        return _transform(rotation_about(2, yaw), xyz)

    def labels(self, t: float, instance: np.ndarray) -> List[KittiObject]:
        """Labels of a frame.

        Args:
            t (float): Seconds.
            instance (np.ndarray): int32, (H, W), track ids in the picture.

        Returns:
            list[KittiObject]: Sorted by distance, ``DontCare`` last; track
            ids are those of the world.
        """
        to_rect = self.ego_to_rect @ np.linalg.inv(self.ego_pose(t))
        seen, pixels = np.unique(instance, return_counts=True)
        visible = dict(zip(seen.tolist(), pixels.tolist()))
        found, regions = [], []
        for thing in self.world.objects:
            name = kitti_class(thing)
            if (name is None or visible.get(thing.track_id, 0) < LABEL_PIXELS):
                continue
            label = self._label(thing, name, t, to_rect, instance)
            if label is not None:
                found.append(label)
            else:
                rows, columns = np.nonzero(instance == thing.track_id)
                regions.append(
                    KittiObject('DontCare',
                                (float(columns.min()), float(rows.min()),
                                 float(columns.max()), float(rows.max()))))
        found.sort(key=lambda x: x.location[2])
        return found + regions

    def _label(self, thing: SceneObject, name: str, t: float,
               to_rect: np.ndarray,
               instance: np.ndarray) -> Optional[KittiObject]:
        """The label of an object, or None if it is hardly visible."""
        xyz, yaw = thing.motion.pose(t)
        place = to_rect[:3, :3] @ xyz + to_rect[:3, 3]
        if np.hypot(place[0], place[2]) > LABEL_DISTANCE:
            return None
        mesh = thing.mesh_at(t)
        vertices = mesh.vertices @ to_rect[:3, :3].T + to_rect[:3, 3]
        whole = self._silhouette(vertices, mesh.faces)
        height, width = instance.shape
        bbox = np.clip(whole, 0, [width - 1, height - 1] * 2)
        share = self._visible_share(vertices, mesh.faces, bbox,
                                    instance == thing.track_id)
        if bbox[3] - bbox[1] < LABEL_HEIGHT or share < LABEL_SHARE:
            return None
        occluded = sum(share < least for least in VISIBLE_SHARES)
        # Direction in the camera's frame, where angles turn from x to -z.
        heading = to_rect[:3, :3] @ [np.cos(yaw), np.sin(yaw), 0.]
        rotation_y = _wrap(np.arctan2(-heading[2], heading[0]))
        length, across, tall = thing.size
        return KittiObject(name, tuple(bbox.tolist()),
                           self._truncation(place, rotation_y,
                                            thing.size), occluded,
                           _wrap(rotation_y - np.arctan2(place[0], place[2])),
                           (tall, across, length), tuple(place.tolist()),
                           rotation_y, thing.track_id)

    def _project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (N, 2) of points (N, 3) in the rectified frame."""
        k = self.camera.intrinsics
        x = points[:, 0] - BASELINES[2]
        return np.stack([
            x / points[:, 2] * k[0, 0] + k[0, 2],
            points[:, 1] / points[:, 2] * k[1, 1] + k[1, 2]
        ], 1)

    def _silhouette(self, vertices: np.ndarray,
                    faces: np.ndarray) -> np.ndarray:
        """Box (x1, y1, x2, y2) around a mesh, not clipped to the image.

        Edges that pass the camera are cut just in front of it.
        """
        edges = vertices[faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)]
        depth = edges[..., 2]
        cut = (depth[:, 0] < _NEAR) != (depth[:, 1] < _NEAR)
        a, b = edges[cut, 0], edges[cut, 1]
        share = (_NEAR - a[:, 2:]) / (b[:, 2:] - a[:, 2:])
        front = np.concatenate(
            [vertices[vertices[:, 2] >= _NEAR], a + share * (b - a)])
        pixels = self._project(front)
        return np.concatenate([pixels.min(0), pixels.max(0)])

    def _visible_share(self, vertices: np.ndarray, faces: np.ndarray,
                       bbox: np.ndarray, visible: np.ndarray) -> float:
        """Fraction of an object's pixels that are not occluded.

        Rays through a grid of pixels are cast into only this object.
        """
        x1, y1 = np.floor(bbox[:2]).astype(int)
        x2, y2 = np.ceil(bbox[2:]).astype(int) + 1
        step = max(1, int(np.sqrt((x2 - x1) * (y2 - y1) / 600)))
        rows, columns = np.mgrid[y1:y2:step, x1:x2:step]
        k = self.camera.intrinsics
        rays = np.zeros((rows.size, 6), np.float32)
        rays[:, 0] = BASELINES[2]
        rays[:, 3] = (columns.ravel() - k[0, 2]) / k[0, 0]
        rays[:, 4] = (rows.ravel() - k[1, 2]) / k[1, 1]
        rays[:, 5] = 1
        scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        scene.add_triangles(
            o3d.core.Tensor(np.ascontiguousarray(vertices, np.float32)),
            o3d.core.Tensor(np.ascontiguousarray(faces, np.uint32)))
        hit = scene.test_occlusions(
            o3d.core.Tensor(rays), nthreads=1).numpy().reshape(rows.shape)
        hit &= (rows < visible.shape[0]) & (columns < visible.shape[1])
        if not hit.any():  # thinner than the grid
            return 1.
        return float(visible[rows[hit], columns[hit]].mean())

    def _truncation(self, place: np.ndarray, rotation_y: float,
                    size: Tuple[float, float, float]) -> float:
        """Fraction of a box that lies outside the image."""
        length, across, tall = size
        u, v, w = np.meshgrid((np.arange(12) + .5) / 12 - .5,
                              (np.arange(6) + .5) / 6 - .5,
                              (np.arange(6) + .5) / 6)
        u, v, w = length * u.ravel(), across * v.ravel(), tall * w.ravel()
        c, s = np.cos(rotation_y), np.sin(rotation_y)
        points = np.stack([c * u + s * v, -w, -s * u + c * v], 1) + place
        front = points[:, 2] >= _NEAR
        pixels = self._project(points[front])
        limit = np.array([self.camera.width, self.camera.height]) - .5
        inside = ((pixels >= -.5) & (pixels < limit)).all(1)
        return float(1 - inside.sum() / len(points))


def make_kitti_frames(size: KittiSize, seed: int, split: str,
                      number: int) -> Iterator[KittiFrame]:
    """Make the frames of a scene; they depend only on the arguments.

    Args:
        size (KittiSize): Sizes.
        seed (int): Seed of the data set.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
        number (int): Number of the scene within its split.

    Yields:
        KittiFrame: In the order of time.
    """
    cities = CITIES[split]
    city = cities[number % len(cities)]
    # The streets differ from those of the camera data sets.
    own = (seed, SPLITS.index(split), number, 1)
    plan = draw_plan(
        make_city(city, seed), own, FEATURES[number % len(FEATURES)],
        CONDITIONS[number % len(CONDITIONS)])
    world = build_world(
        plan,
        own,
        f'{city}-{number}',
        feature=add_features,
        pedestrians=add_people)
    rng = named(own, 'sensors')
    rig = kitti_rig(size.height, size.width, size.azimuth_steps)
    car = KittiCar(world, rig)
    renderer = Renderer(world, size.supersample)
    sequence, first = size.place(split, number)
    times = (np.arange(size.frames) + .5) * world.duration / size.frames
    for index, time in enumerate(times.tolist()):
        image, _, instance, _ = renderer.render(
            car.camera, time, Exposure.random(child(rng), False), child(rng))
        sweep = rig.lidar.scan(renderer.geometry, time, child(rng))
        objects = car.labels(time, instance)
        for thing in objects:
            if thing.name != 'DontCare':
                thing.track_id += sequence * 1000
        yield KittiFrame(
            split, first + index, sequence, time, image,
            np.concatenate([sweep.points, sweep.reflectance[:, None]], 1),
            car.calibration(),
            car.ego_pose(time) @ car.velo_to_ego, objects, car.plane())
