"""Small synthetic LiDAR sequences with tracks."""
import os
import os.path as osp
from typing import Any, Dict, List, NamedTuple, Tuple

import numpy as np

from mmkd.methods.xray.data.boxes import box_of_pose, transform

#: Classes of nuScenes in the order of mmdet3d's index files.
CLASSES = ('car', 'truck', 'trailer', 'bus', 'construction_vehicle', 'bicycle',
           'motorcycle', 'pedestrian', 'traffic_cone', 'barrier')
#: Class, length, width and height in metres.
OBJECTS = (('car', (4.4, 1.8, 1.5)), ('truck', (7., 2.5, 3.)), ('pedestrian',
                                                                (.7, .7, 1.7)))
#: Columns of the points: x, y, z, intensity, and a fifth as in nuScenes.
COLUMNS = 5


class Sequence(NamedTuple):
    """Frames of a scene.

    Attributes:
        infos (list[dict]): Frames of an index file of mmdet3d, with the
            entries of :func:`~mmkd.methods.xray.data.infos.add_identities`.
        clouds (list[np.ndarray]): (N, 5), float32, points of each frame.
        sources (list[np.ndarray]): (N, ), index of the object of each point,
            -1 for the background.
        surfaces (list[np.ndarray]): (S, 3), surface points of each object in
            its own frame.
    """
    infos: List[dict]
    clouds: List[np.ndarray]
    sources: List[np.ndarray]
    surfaces: List[np.ndarray]


def _pose(x: float, y: float, z: float, yaw: float) -> np.ndarray:
    cos, sin = np.cos(yaw), np.sin(yaw)
    pose = np.eye(4)
    pose[:2, :2] = [[cos, -sin], [sin, cos]]
    pose[:3, 3] = x, y, z
    return pose


def _surface(rng: np.random.Generator, size: np.ndarray,
             count: int) -> Tuple[np.ndarray, np.ndarray]:
    """Points on the sides and the top of a box, and their normals."""
    sides = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]])
    normals = sides[rng.integers(len(sides), size=count)]
    points = rng.uniform(-.499, .499, (count, 3))
    points = np.where(normals != 0, .499 * normals, points)
    return points * size, normals.astype(float)


def _seen(rng: np.random.Generator, points: np.ndarray, normals: np.ndarray,
          pose: np.ndarray) -> np.ndarray:
    """Points of a surface that are visible to the sensor, in its frame."""
    placed = transform(points, pose)
    facing = (placed * (normals @ pose[:3, :3].T)).sum(1) < 0
    distance = np.linalg.norm(pose[:3, 3])
    return placed[facing
                  & (rng.random(len(points)) < min(1, 80 / distance**2))]


def _instance(number: int, name: str, size: np.ndarray, pose: np.ndarray,
              speed: float, count: int) -> Dict[str, Any]:
    """An object of an index file with ``count`` visible points."""
    return dict(
        bbox_label=CLASSES.index(name),
        bbox_label_3d=CLASSES.index(name),
        bbox_3d=[
            *pose[:3, 3].tolist(), *size,
            float(np.arctan2(pose[1, 0], pose[0, 0]))
        ],
        bbox_3d_isvalid=count > 0,
        num_lidar_pts=count,
        num_radar_pts=0,
        velocity=(pose[:2, 0] * speed).tolist(),
        instance_id=f'object{number:03d}',
        box_lidar=box_of_pose(pose, size).tolist())


def make_sequence(scene: str = 'scene',
                  frames: int = 6,
                  objects: int = 6,
                  background: int = 1500,
                  density: float = 1.,
                  moving: bool = True,
                  offset: float = 0.,
                  seed: int = 0) -> Sequence:
    """Make a scene: a sensor drives past boxes that drive and turn.

    A surface point can be visible if its face is turned towards the sensor;
    the probability decreases with the distance.

    Args:
        scene (str): Name of the scene. Defaults to ``'scene'``.
        frames (int): Number of frames, at 2 Hz. Defaults to 6.
        objects (int): Number of boxes. Defaults to 6.
        background (int): Number of points on the ground. Defaults to 1500.
        density (float): Density of the points on objects. Defaults to 1.
        moving (bool): Whether the objects move. Defaults to True.
        offset (float): Position of the scene in the world along both axes,
            metres. Defaults to 0.
        seed (int): Seed of all random numbers. Defaults to 0.
    """
    rng = np.random.default_rng(seed)
    kinds = [i % len(OBJECTS) for i in range(objects)]
    sizes = [np.array(OBJECTS[kind][1]) for kind in kinds]
    speed = rng.uniform(0, 3, objects) * moving
    turn = rng.uniform(-.3, .3, objects) * moving
    columns = max(int(np.ceil(objects**.5)), 1)
    start = np.array([(9. * (i % columns) - 8, 9. * (i // columns) - 9,
                       rng.uniform(-np.pi, np.pi)) for i in range(objects)])
    surfaces = [_surface(rng, size, int(600 * density)) for size in sizes]
    found = Sequence([], [], [], [x[0] for x in surfaces])
    for number in range(frames):
        time = number / 2
        to_world = _pose(offset + number, offset, 1.8, .05 * number)
        from_world = np.linalg.inv(to_world)
        ground = np.column_stack([
            rng.uniform(-20, 20, (background, 2)),
            np.full(background, -1.8 - .01)
        ])
        clouds, sources = [ground], [np.full(background, -1)]
        instances = []
        for i, (kind, size) in enumerate(zip(kinds, sizes)):
            place = offset + start[i, :2] + speed[i] * time * np.array(
                [np.cos(start[i, 2]), np.sin(start[i, 2])])
            pose = from_world @ _pose(*place, size[2] / 2,
                                      start[i, 2] + turn[i] * time)
            cloud = _seen(rng, *surfaces[i], pose)
            clouds.append(cloud)
            sources.append(np.full(len(cloud), i))
            instances.append(
                _instance(i, OBJECTS[kind][0], size, pose, speed[i],
                          len(cloud)))
        points = np.concatenate(clouds)
        cloud = np.zeros((len(points), COLUMNS), np.float32)
        cloud[:, :3] = points
        cloud[:, 3] = rng.integers(0, 255, len(points))
        found.clouds.append(cloud)
        found.sources.append(np.concatenate(sources))
        found.infos.append(
            dict(
                sample_idx=number,
                token=f'{scene}_{number:03d}',
                scene_token=scene,
                timestamp=time,
                lidar2global=to_world.tolist(),
                ego2global=to_world.tolist(),
                lidar_points=dict(
                    num_pts_feats=COLUMNS,
                    lidar2ego=np.eye(4).tolist(),
                    lidar_path=f'{scene}_{number:03d}.bin'),
                lidar_sweeps=[],
                images={},
                instances=instances))
    return found


def write_sequences(root: str, sequences: Dict[str,
                                               Sequence]) -> Dict[str, Any]:
    """Write the points of scenes.

    Args:
        root (str): Folder of the data; points go into ``points``.
        sequences (dict[str, Sequence]): Scenes by name.

    Returns:
        dict: The content of an index file for ``NuScenesDataset``.
    """
    os.makedirs(osp.join(root, 'points'), exist_ok=True)
    frames = []
    for sequence in sequences.values():
        for info, cloud in zip(sequence.infos, sequence.clouds):
            cloud.tofile(
                osp.join(root, 'points', info['lidar_points']['lidar_path']))
            frames.append(dict(info, sample_idx=len(frames)))
    return dict(
        metainfo=dict(
            categories={
                name: i
                for i, name in enumerate(CLASSES)
            },
            dataset='nuscenes',
            version='v1.0-mini',
            info_version='1.1'),
        data_list=frames)
