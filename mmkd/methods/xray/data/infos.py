"""Scenes, tracks and full boxes for mmdet3d's index files.

The index files of mmdet3d contain neither the scene of a frame nor the tracks
of its boxes. This module adds both from the data set in a common form. A frame
gets

- ``scene_token`` (str), ``timestamp`` (seconds) and ``lidar2global`` (4 x 4);
- in each of its ``instances``, ``instance_id`` (str, ``''`` if it is not a
  single object) and ``box_lidar``, ten numbers in the LiDAR frame: centre,
  length, width, height, and quaternion (w, x, y, z).
"""
import os.path as osp
import pickle
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from scipy.spatial.transform import Rotation

from mmkd.errors import ConfigError
from mmkd.methods.xray.data.boxes import box_of_pose, upright_box
from mmkd.methods.xray.data.completion import SceneFrame
from mmkd.utils.files import read_json, write_bytes
from mmkd.utils.index import read_index_file

LAYOUTS = ('nuscenes', 'kitti', 'waymo', 'infos')
#: Folder of the points in each layout, relative to the data folder.
POINTS_FOLDER = dict(
    nuscenes='samples/LIDAR_TOP',
    kitti='training/velodyne_reduced',
    waymo='training/velodyne',
    infos='')
#: Maximum distance between the centre of a box and the one in the tables.
_MAX_OFFSET = 0.05
#: Track id of lines of KITTI's labels that are not a single object.
_NO_TRACK = -1

Infos = Dict[str, Any]


def load_infos(path: str) -> Infos:
    """Read an index file of mmdet3d, version 2.

    Raises:
        ConfigError: If it is not an index file.
        DataError: If it is damaged, or holds more than plain data.
    """
    if not osp.isfile(path):
        raise ConfigError(f'there is no index file {path}')
    infos = read_index_file(path)
    if not isinstance(infos, dict) or 'data_list' not in infos:
        raise ConfigError(f'{path} is not an index file of mmdet3d 1.x; its '
                          'update_infos_to_v2.py converts older ones')
    return infos


def save_infos(infos: Infos, path: str) -> None:
    """Write an index file atomically."""
    write_bytes(osp.abspath(path), pickle.dumps(infos, 4))


def add_identities(infos: Infos,
                   layout: str,
                   data_root: str,
                   tables: Optional[str] = None,
                   folder: str = 'training') -> None:
    """Add scenes, tracks and full boxes to an index file, in place.

    Frames without boxes only get scene, time and pose.

    Args:
        infos (dict): The index file.
        layout (str): ``'nuscenes'``, from its tables; ``'kitti'``, from
            ``sequences/<split>.json`` (see :func:`read_sequences`);
            ``'waymo'``, from mmdet3d's converter with
            ``save_track_id``; ``'infos'`` has them already.
        data_root (str): Folder of the data.
        tables (str, optional): Folder of nuScenes' tables, if different.
            Defaults to None.
        folder (str): KITTI's folder of the frames, ``'training'`` or
            ``'testing'``. Defaults to ``'training'``.

    Raises:
        ConfigError: If something is missing or contradicts the index file.
    """
    if layout not in LAYOUTS:
        raise ConfigError(f'layout is one of {", ".join(LAYOUTS)}, not '
                          f'{layout!r}')
    frames = infos['data_list']
    if layout == 'nuscenes':
        _add_nuscenes(frames, tables or data_root,
                      infos['metainfo'].get('version', 'v1.0-trainval'))
    elif layout == 'kitti':
        _add_kitti(frames, data_root, folder)
    elif layout == 'waymo':
        _add_waymo(frames)
    else:
        for info in frames:
            if 'scene_token' not in info or any('box_lidar' not in x
                                                for x in info['instances']):
                raise ConfigError(
                    f'frame {info.get("sample_idx")} has no `scene_token`, or '
                    'instances without `box_lidar`; name the layout that the '
                    'index file was made from')
            for instance in info['instances']:
                instance.setdefault('instance_id', '')


def _matrix(rotation: List[float], translation: List[float]) -> np.ndarray:
    w, x, y, z = rotation
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
    matrix[:3, 3] = translation
    return matrix


def _add_nuscenes(frames: List[dict], root: str, version: str) -> None:
    from nuscenes import NuScenes
    try:
        tables = NuScenes(version, root, verbose=False)
    except AssertionError as error:
        raise ConfigError(f'nuScenes in {root}: {error}') from None
    for info in frames:
        try:
            sample = tables.get('sample', info['token'])
        except KeyError:
            raise ConfigError(f'{root}/{version} has no sample '
                              f'{info["token"]}') from None
        data = tables.get('sample_data', sample['data']['LIDAR_TOP'])
        lidar, ego = (
            tables.get(name, data[f'{name}_token'])
            for name in ('calibrated_sensor', 'ego_pose'))
        to_global = _matrix(ego['rotation'], ego['translation']) @ _matrix(
            lidar['rotation'], lidar['translation'])
        from_global = np.linalg.inv(to_global)
        info['scene_token'] = sample['scene_token']
        info['timestamp'] = sample['timestamp'] / 1e6
        info['lidar2global'] = to_global.tolist()
        instances = info.setdefault('instances', [])
        if not instances:  # a sequence without labels
            continue
        if len(instances) != len(sample['anns']):
            raise ConfigError(
                f'sample {info["token"]} has {len(sample["anns"])} '
                f'annotations but {len(instances)} boxes in the index file; '
                'make the index file from these tables')
        for instance, token in zip(instances, sample['anns']):
            found = tables.get('sample_annotation', token)
            width, length, height = found['size']
            box = box_of_pose(
                from_global @ _matrix(found['rotation'], found['translation']),
                (length, width, height))
            offset = np.abs(box[:3] - instance['bbox_3d'][:3]).max()
            if not offset < _MAX_OFFSET:
                raise ConfigError(
                    f'sample {info["token"]}: annotation {token} lies '
                    f'{offset:.2f} m from its box in the index file')
            instance['instance_id'] = found['instance_token']
            instance['box_lidar'] = box.tolist()


def read_sequences(root: str, split: str) -> List[Dict[str, Any]]:
    """Read the sequences of KITTI frames.

    The driving scenes include these files; KITTI itself does not.

    Args:
        root (str): Folder of the KITTI data.
        split (str): ``'train'``, ``'val'`` or ``'test'``.

    Returns:
        list[dict]: ``sequence`` (int), ``folder`` (``'training'`` or
        ``'testing'``) and ``frames``. Each frame, in order of time, has
        ``frame`` (name of its files), ``time`` (seconds),
        ``velodyne_to_world`` (4 x 4) and ``track_ids`` (one for each line of
        the label file; -1 for ``DontCare``). Empty if there is no file.
    """
    path = osp.join(root, 'sequences', f'{split}.json')
    return read_json(path) if osp.isfile(path) else []


def _kitti_box(instance: dict, lidar_to_cam: np.ndarray) -> np.ndarray:
    """The box as converted by mmdet3d: upright, at the same position."""
    x, y, z, length, height, width, rotation = instance['bbox_3d']
    below = np.linalg.inv(lidar_to_cam) @ [x, y, z, 1]
    centre = below[:3] + [0, 0, height / 2]
    return upright_box(centre, (length, width, height), -rotation - np.pi / 2)


def _add_kitti(frames: List[dict], root: str, folder: str) -> None:
    kept: Dict[str, Tuple[int, dict]] = {}
    for split in ('train', 'val', 'test'):
        kept.update({
            frame['frame']: (sequence['sequence'], frame)
            for sequence in read_sequences(root, split)
            if sequence['folder'] == folder for frame in sequence['frames']
        })
    if not kept:
        raise ConfigError(
            f'{root}/sequences says of no frame in {folder} which scene it '
            'is of, and which labels are one object; frames without that '
            'cannot be completed')
    for info in frames:
        name = osp.splitext(info['lidar_points']['lidar_path'])[0]
        instances = info['instances']
        if name not in kept or instances and [
                track == _NO_TRACK for track in kept[name][1]['track_ids']
        ] != [x['bbox_label_3d'] == -1 for x in instances]:
            raise ConfigError(
                f'frame {name} has {len(instances)} labels in the index '
                f'file, which are not those of {root}/sequences')
        scene, frame = kept[name]
        lidar_to_cam = np.array(info['images']['CAM2']['lidar2cam'])
        info['scene_token'] = str(scene)
        info['timestamp'] = frame['time']
        info['lidar2global'] = frame['velodyne_to_world']
        for instance, track in zip(instances, frame['track_ids']):
            instance['instance_id'] = '' if track == _NO_TRACK else str(track)
            instance['box_lidar'] = _kitti_box(instance, lidar_to_cam).tolist()


def _add_waymo(frames: List[dict]) -> None:
    for info in frames:
        scene = info.get('context_name')
        info['scene_token'] = scene if scene is not None else str(
            info['sample_idx'] // 1000)
        # Microseconds.
        info['timestamp'] = info.get('timestamp', info['sample_idx']) / 1e6
        info['lidar2global'] = info['ego2global']
        for instance in info['instances']:
            track = instance.get('track_id', instance.get('instance_id'))
            if track is None:
                raise ConfigError(
                    f'frame {info["sample_idx"]} has no track ids; convert '
                    'Waymo again with `save_track_id = True` in '
                    "mmdet3d's waymo_converter.py")
            x, y, z, length, width, height, yaw = instance['bbox_3d'][:7]
            instance['instance_id'] = f'{track}'
            instance['box_lidar'] = upright_box(
                (x, y, z + height / 2), (length, width, height), yaw).tolist()


def group_by_scene(frames: List[dict]) -> Dict[str, List[dict]]:
    """Frames of each scene, in order of time; scenes in order of name."""
    scenes: Dict[str, List[dict]] = {}
    for info in frames:
        scenes.setdefault(info['scene_token'], []).append(info)
    return {
        scene: sorted(scenes[scene], key=lambda info: info['timestamp'])
        for scene in sorted(scenes)
    }


def scene_frame(info: dict, points_folder: str) -> SceneFrame:
    """The input of completion for a frame of the index file.

    Args:
        info (dict): The frame, with the entries of :func:`add_identities`.
        points_folder (str): Folder of the points.
    """
    instances = info['instances']
    points = info['lidar_points']
    return SceneFrame(
        name=str(info.get('token', info['sample_idx'])),
        path=osp.join(points_folder, points['lidar_path']),
        columns=int(points['num_pts_feats']),
        ids=[x['instance_id'] for x in instances],
        labels=[x['bbox_label_3d'] for x in instances],
        boxes=np.array([x['box_lidar'] for x in instances],
                       np.float64).reshape(-1, 10),
        time=float(info['timestamp']))


def class_names(infos: Infos) -> Dict[int, str]:
    """Names of the classes of an index file by number; -1 means no class."""
    categories = infos['metainfo'].get('categories', {})
    return {number: name for name, number in categories.items() if number >= 0}
