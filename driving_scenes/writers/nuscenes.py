"""The layout of nuScenes.

Caesar et al., nuScenes: A multimodal dataset for autonomous driving, CVPR
2020, and the schema of its development kit.
"""
import hashlib
import os.path as osp
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from .files import write_bytes, write_jpg, write_json, write_png

#: The names of the official release.
CATEGORIES = ('human.pedestrian.adult', 'human.pedestrian.child',
              'human.pedestrian.wheelchair', 'human.pedestrian.stroller',
              'human.pedestrian.personal_mobility',
              'human.pedestrian.police_officer',
              'human.pedestrian.construction_worker', 'animal', 'vehicle.car',
              'vehicle.motorcycle', 'vehicle.bicycle', 'vehicle.bus.bendy',
              'vehicle.bus.rigid', 'vehicle.truck', 'vehicle.construction',
              'vehicle.emergency.ambulance', 'vehicle.emergency.police',
              'vehicle.trailer', 'movable_object.barrier',
              'movable_object.trafficcone', 'movable_object.pushable_pullable',
              'movable_object.debris', 'static_object.bicycle_rack')
ATTRIBUTES = ('vehicle.moving', 'vehicle.stopped', 'vehicle.parked',
              'cycle.with_rider', 'cycle.without_rider',
              'pedestrian.sitting_lying_down', 'pedestrian.standing',
              'pedestrian.moving')
#: Token -> level: visible fraction of an object's pixels, percent.
VISIBILITIES = {'1': 'v0-40', '2': 'v40-60', '3': 'v60-80', '4': 'v80-100'}
TABLES = ('attribute', 'calibrated_sensor', 'category', 'ego_pose', 'instance',
          'log', 'map', 'sample', 'sample_annotation', 'sample_data', 'scene',
          'sensor', 'visibility')
#: Version of the test split, and of its second set of tables: the same scenes
#: with names of the validation split, since mmdet3d's metric only evaluates
#: validation splits.
TEST_VERSION = 'v1.0-test'
TEST_AS_VAL = ('test_as_val', 'v1.0-trainval')
#: Metres per pixel of a map, as the devkit expects.
MAP_RESOLUTION = .1

Rows = Dict[str, List[Dict[str, Any]]]


@dataclass
class NuScenesMount:
    """How a sensor is mounted.

    Args:
        channel (str): Such as ``CAM_FRONT``.
        translation (Sequence[float]): In the ego frame, metres.
        rotation (np.ndarray): (3, 3), from the sensor to the ego frame.
        intrinsics (np.ndarray, optional): (3, 3), of a camera.
    """
    channel: str
    translation: Sequence[float]
    rotation: np.ndarray
    intrinsics: Optional[np.ndarray] = None


@dataclass
class NuScenesObject:
    """An annotation.

    Args:
        track_id (int): The same in all frames of a scene.
        category (str): One of :data:`CATEGORIES`.
        attribute (str): One of :data:`ATTRIBUTES`, or nothing.
        visibility (str): Key of :data:`VISIBILITIES`.
        size (tuple[float]): Width, length, height, metres.
        translation (tuple[float]): Centre in the frame of the map, metres.
        yaw (float): Heading in that frame, radians.
        lidar_points (int): Points of the frame's sweep in the box.
    """
    track_id: int
    category: str
    attribute: str
    visibility: str
    size: Tuple[float, float, float]
    translation: Tuple[float, float, float]
    yaw: float
    lidar_points: int


@dataclass
class NuScenesFrame:
    """A sweep, with images and annotations at key frames.

    Args:
        time (float): Seconds since the scene began.
        translation (Sequence[float]): Of the car in the frame of the map.
        yaw (float): Its heading, radians.
        points (np.ndarray): float32, (N, 5): x, y, z in metres in the
            LiDAR's frame, intensity 0 to 255, number of the beam.
        images (dict[str, np.ndarray]): Channel -> uint8, (H, W, 3), RGB;
            empty between key frames.
        objects (list[NuScenesObject]): Annotations.
    """
    time: float
    translation: Sequence[float]
    yaw: float
    points: np.ndarray
    images: Dict[str, np.ndarray] = field(default_factory=dict)
    objects: List[NuScenesObject] = field(default_factory=list)

    @property
    def is_key_frame(self) -> bool:
        """Whether there are images and annotations."""
        return bool(self.images)


@dataclass
class NuScenesScene:
    """The common properties of a scene's frames.

    Args:
        name (str): Official name, such as ``scene-0061``.
        split (str): ``train``, ``val`` or ``test``.
        number (int): Number of the scene, which sets its date.
        location (str): City.
        description (str): A short text.
        mounts (list[NuScenesMount]): All sensors, the LiDAR last.
        drivable (list[np.ndarray]): Polygons (P, 2) of the road in the frame
            of the map, metres.
        extent (tuple[float]): Width and height of the map, metres.
    """
    name: str
    split: str
    number: int
    location: str
    description: str
    mounts: List[NuScenesMount]
    drivable: List[np.ndarray]
    extent: Tuple[float, float]


def _quaternion(rotation: np.ndarray) -> List[float]:
    """(w, x, y, z) of a rotation matrix."""
    x, y, z, w = Rotation.from_matrix(rotation).as_quat().tolist()
    return [w, x, y, z]


def yaw_quaternion(yaw: float) -> List[float]:
    """(w, x, y, z) of a turn about z, radians."""
    return [float(np.cos(yaw / 2)), 0., 0., float(np.sin(yaw / 2))]


class NuScenesWriter:
    """Write scenes as files and tables of nuScenes.

    Tokens are MD5 hashes of the names of their objects, so data sets with the
    same seed have the same tokens.

    Args:
        root (str): Folder of the nuScenes data, the one with ``samples``.
        seed (int): Seed of the data set. Defaults to 0.
    """

    def __init__(self, root: str, seed: int = 0) -> None:
        self.root, self.seed = root, seed

    def token(self, *names: Any) -> str:
        """Token of something, 32 hexadecimal digits."""
        text = '/'.join(map(str, (self.seed, *names)))
        return hashlib.md5(text.encode()).hexdigest()

    def write(self, scene: NuScenesScene,
              frames: Sequence[NuScenesFrame]) -> Rows:
        """Write the files of a scene.

        Args:
            scene (NuScenesScene): The scene.
            frames (Sequence[NuScenesFrame]): In the order of time; the first
                and the last are key frames.

        Returns:
            dict[str, list[dict]]: Rows of the tables.
        """
        rows: Rows = {name: [] for name in TABLES}
        self._write_place(scene, rows)
        keys = [frame for frame in frames if frame.is_key_frame]
        samples = [
            self.token(scene.name, 'sample', frame.time) for frame in keys
        ]
        scene_token = self.token(scene.name)
        rows['scene'].append(
            dict(
                token=scene_token,
                name=scene.name,
                description=scene.description,
                log_token=self.token(scene.name, 'log'),
                nbr_samples=len(keys),
                first_sample_token=samples[0],
                last_sample_token=samples[-1]))
        for index, frame in enumerate(keys):
            rows['sample'].append(
                dict(
                    token=samples[index],
                    timestamp=self._timestamp(scene, frame),
                    scene_token=scene_token,
                    prev=samples[index - 1] if index else '',
                    next=samples[index + 1] if index + 1 < len(keys) else ''))
        for mount in scene.mounts:
            self._write_sensor(scene, mount, frames, samples, rows)
        self._annotate(scene, keys, samples, rows)
        return rows

    def _timestamp(self, scene: NuScenesScene, frame: NuScenesFrame) -> int:
        """Microseconds; scenes are a minute apart."""
        day = ('train', 'val', 'test').index(scene.split) * 86400
        start = 1_530_000_000 + day + 60 * scene.number
        return round((start + frame.time) * 1e6)

    def _write_place(self, scene: NuScenesScene, rows: Rows) -> None:
        """Write the log and its map: each scene has its own place."""
        log = self.token(scene.name, 'log')
        name = osp.join('maps', f'{self.token(scene.name, "map")}.png')
        width, height = (
            int(np.ceil(x / MAP_RESOLUTION)) for x in scene.extent)
        mask = np.zeros((height, width), np.uint8)
        for polygon in scene.drivable:
            corners = polygon / MAP_RESOLUTION
            corners[:, 1] = height - corners[:, 1]
            cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 255)
        write_png(osp.join(self.root, name), mask)
        rows['log'].append(
            dict(
                token=log,
                logfile=f'{scene.location}-{scene.name}',
                vehicle='mmkd',
                date_captured='2018-06-26',
                location=scene.location))
        rows['map'].append(
            dict(
                token=self.token(scene.name, 'map'),
                log_tokens=[log],
                category='semantic_prior',
                filename=name))

    def _write_sensor(self, scene: NuScenesScene, mount: NuScenesMount,
                      frames: Sequence[NuScenesFrame], samples: List[str],
                      rows: Rows) -> None:
        """Files and rows of a sensor; sweeps belong to the next sample."""
        channel, is_camera = mount.channel, mount.intrinsics is not None
        calibration = self.token(scene.name, 'calibration', channel)
        rows['calibrated_sensor'].append(
            dict(
                token=calibration,
                sensor_token=self.token('sensor', channel),
                translation=[float(x) for x in mount.translation],
                rotation=_quaternion(mount.rotation),
                camera_intrinsic=mount.intrinsics.tolist()
                if is_camera else []))
        sample, tokens, own = 0, [], []
        for frame in frames:
            if is_camera and not frame.is_key_frame:
                continue
            stamp = self._timestamp(scene, frame)
            name = osp.join(
                'samples' if frame.is_key_frame else 'sweeps', channel,
                f'{scene.location}-{scene.name}__{channel}__{stamp}.' +
                ('jpg' if is_camera else 'pcd.bin'))
            height, width = 0, 0
            if is_camera:
                picture = frame.images[channel]
                height, width = picture.shape[:2]
                write_jpg(osp.join(self.root, name), picture)
            else:
                write_bytes(
                    osp.join(self.root, name),
                    np.ascontiguousarray(frame.points, '<f4').tobytes())
            token = self.token(scene.name, 'data', channel, frame.time)
            tokens.append(token)
            rows['ego_pose'].append(
                dict(
                    token=token,
                    timestamp=stamp,
                    translation=[float(x) for x in frame.translation],
                    rotation=yaw_quaternion(frame.yaw)))
            own.append(
                dict(
                    token=token,
                    sample_token=samples[sample],
                    ego_pose_token=token,
                    calibrated_sensor_token=calibration,
                    timestamp=stamp,
                    fileformat='jpg' if is_camera else 'pcd',
                    is_key_frame=frame.is_key_frame,
                    height=height,
                    width=width,
                    filename=name))
            sample += frame.is_key_frame
        self._link(own, tokens)
        rows['sample_data'] += own

    @staticmethod
    def _link(rows: List[Dict[str, Any]], tokens: List[str]) -> None:
        ends = ['', *tokens, '']
        for row, before, after in zip(rows, ends[:-2], ends[2:]):
            row.update(prev=before, next=after)

    def _annotate(self, scene: NuScenesScene, keys: List[NuScenesFrame],
                  samples: List[str], rows: Rows) -> None:
        """Annotations, and the instances that they show."""
        tracks: Dict[int, List[Dict[str, Any]]] = {}
        categories: Dict[int, str] = {}
        for frame, sample in zip(keys, samples):
            for thing in frame.objects:
                instance = self.token(scene.name, 'instance', thing.track_id)
                row = dict(
                    token=self.token(sample, thing.track_id),
                    sample_token=sample,
                    instance_token=instance,
                    visibility_token=thing.visibility,
                    attribute_tokens=[
                        self.token('attribute', thing.attribute)
                    ] if thing.attribute else [],
                    translation=list(thing.translation),
                    size=list(thing.size),
                    rotation=yaw_quaternion(thing.yaw),
                    num_lidar_pts=thing.lidar_points,
                    num_radar_pts=0)
                rows['sample_annotation'].append(row)
                tracks.setdefault(thing.track_id, []).append(row)
                categories[thing.track_id] = thing.category
        for track_id, own in tracks.items():
            tokens = [row['token'] for row in own]
            self._link(own, tokens)
            rows['instance'].append(
                dict(
                    token=own[0]['instance_token'],
                    category_token=self.token('category',
                                              categories[track_id]),
                    nbr_annotations=len(own),
                    first_annotation_token=tokens[0],
                    last_annotation_token=tokens[-1]))

    def _common(self, channels: Sequence[str]) -> Rows:
        """Rows that are the same for every scene."""
        return dict(
            category=[
                dict(
                    token=self.token('category', name),
                    name=name,
                    description='') for name in CATEGORIES
            ],
            attribute=[
                dict(
                    token=self.token('attribute', name),
                    name=name,
                    description='') for name in ATTRIBUTES
            ],
            visibility=[
                dict(
                    token=token,
                    level=level,
                    description=f'{level[1:]} % of the object can be seen')
                for token, level in VISIBILITIES.items()
            ],
            sensor=[
                dict(
                    token=self.token('sensor', channel),
                    channel=channel,
                    modality='camera'
                    if channel.startswith('CAM') else 'lidar')
                for channel in channels
            ])

    def finish(self, version: str, scenes: Sequence[Rows],
               channels: Sequence[str]) -> None:
        """Write the tables of a version.

        Args:
            version (str): Such as ``v1.0-mini``; may lie in a folder.
            scenes (Sequence[dict]): Rows of the scenes.
            channels (Sequence[str]): Of the sensors.
        """
        tables = self._common(channels)
        for name in TABLES:
            found = tables.get(name, [])
            found = found + [row for scene in scenes for row in scene[name]]
            write_json(osp.join(self.root, version, f'{name}.json'), found)

    def finish_test(self, scenes: Sequence[Rows], names: Sequence[str],
                    channels: Sequence[str]) -> None:
        """Write the tables of the test split, under both versions.

        Args:
            scenes (Sequence[dict]): Rows of the scenes.
            names (Sequence[str]): As many names of the validation split.
            channels (Sequence[str]): Of the sensors.
        """
        self.finish(TEST_VERSION, scenes, channels)
        renamed = []
        for rows, name in zip(scenes, names):
            # The files lie beside the folder of these tables.
            moved = {
                table: [
                    dict(row, filename=osp.join('..', row['filename']))
                    for row in rows[table]
                ]
                for table in ('map', 'sample_data')
            }
            scene = [dict(row, name=name) for row in rows['scene']]
            renamed.append(dict(rows, scene=scene, **moved))
        self.finish(osp.join(*TEST_AS_VAL), renamed, channels)
