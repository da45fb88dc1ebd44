"""The layout of KITTI's object benchmark.

Geiger, Lenz, Urtasun, Are we ready for Autonomous Driving? The KITTI Vision
Benchmark Suite, CVPR 2012, and the development kit of its object task.
"""
import os.path as osp
import pickle
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
from shapely.geometry import MultiPoint, Polygon, box

from .files import write_bytes, write_json, write_png

#: Folder of each split. As in the original, training and validation share a
#: folder; unlike in the original, test frames have labels.
FOLDERS = dict(train='training', val='training', test='testing')
#: Track id of lines that are not a single object.
NO_TRACK = -1
#: Labels of mmdet3d's info files.
INFO_CLASSES = ('Pedestrian', 'Cyclist', 'Car', 'Van', 'Truck',
                'Person_sitting', 'Tram', 'Misc')
#: By difficulty: minimum height in pixels, maximum occlusion and truncation.
_LIMITS = ((40, 0, .15), (25, 1, .3), (25, 2, .5))
#: Range of depths of ``velodyne_reduced``, metres.
_NEAR, _FAR = .001, 100.


@dataclass
class KittiObject:
    """A line of a label file; numbers are rounded to two digits.

    Args:
        name (str): Class, such as ``Car``, or ``DontCare``.
        bbox (tuple[float]): ``(x1, y1, x2, y2)`` in pixels, within the
            picture.
        truncated (float): Fraction outside the image, 0 to 1.
        occluded (int): 0 fully visible, 1 partly occluded, 2 largely
            occluded, 3 hardly visible.
        alpha (float): Observation angle, -pi to pi.
        dimensions (tuple[float]): Height, width, length, metres.
        location (tuple[float]): Centre of the bottom face in the rectified
            frame of camera 0 (x right, y down, z front), metres.
        rotation_y (float): Heading about y, -pi to pi, 0 along x.
        track_id (int): The same in all frames of a sequence, and in no
            other sequence.
    """
    name: str
    bbox: Tuple[float, float, float, float]
    truncated: float = -1.
    occluded: int = -1
    alpha: float = -10.
    dimensions: Tuple[float, float, float] = (-1., -1., -1.)
    location: Tuple[float, float, float] = (-1000., -1000., -1000.)
    rotation_y: float = -10.
    track_id: int = NO_TRACK

    def __post_init__(self) -> None:
        for name in ('truncated', 'alpha', 'rotation_y'):
            setattr(self, name, round(float(getattr(self, name)), 2))
        for name in ('bbox', 'dimensions', 'location'):
            setattr(self, name,
                    tuple(round(float(x), 2) for x in getattr(self, name)))

    @property
    def difficulty(self) -> int:
        """0 easy, 1 moderate, 2 hard, -1 not evaluated."""
        height = self.bbox[3] - self.bbox[1]
        for level, (least, hidden, cut) in enumerate(_LIMITS):
            if (height > least and self.occluded <= hidden
                    and self.truncated <= cut):
                return level
        return -1

    def corners(self) -> np.ndarray:
        """Corners of its box in the rectified frame, (8, 3)."""
        height, width, length = self.dimensions
        u, v, w = np.meshgrid([-.5, .5], [-.5, .5], [0., 1.])
        u, v, w = length * u.ravel(), width * v.ravel(), height * w.ravel()
        c, s = np.cos(self.rotation_y), np.sin(self.rotation_y)
        return np.stack([c * u + s * v, -w, c * v - s * u], 1) + self.location

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Which points (N, 3) of the rectified frame lie in it, (N, )."""
        height, width, length = self.dimensions
        x, y, z = (points - self.location).T
        c, s = np.cos(self.rotation_y), np.sin(self.rotation_y)
        return ((np.abs(c * x - s * z) <= length / 2) &
                (np.abs(s * x + c * z) <= width / 2) & (y <= 0) &
                (y >= -height))

    def line(self) -> str:
        """Its line, with two digits as in the original."""
        numbers = (self.alpha, *self.bbox, *self.dimensions, *self.location,
                   self.rotation_y)
        return ' '.join([
            self.name, f'{self.truncated:.2f}', f'{self.occluded:d}',
            *(f'{number:.2f}' for number in numbers)
        ])


@dataclass
class KittiFrame:
    """An image, a sweep and their labels.

    Args:
        split (str): ``train``, ``val`` or ``test``.
        number (int): Number in its folder, which names the files.
        sequence (int): Number of the scene in the data set.
        time (float): Seconds since the scene began.
        image (np.ndarray): uint8, (H, W, 3), RGB.
        points (np.ndarray): float32, (N, 4): x front, y left, z up in metres
            from the LiDAR, reflectance 0 to 1.
        calibration (dict[str, np.ndarray]): ``P0`` to ``P3`` (3, 4),
            ``R0_rect`` (3, 3), ``Tr_velo_to_cam`` and ``Tr_imu_to_velo``
            (3, 4).
        pose (np.ndarray): (4, 4), from the LiDAR to the world.
        objects (list[KittiObject]): Labels, ``DontCare`` last.
        plane (np.ndarray, optional): (4, ), the ground in the rectified
            frame: normal and offset. Defaults to None: no file.
    """
    split: str
    number: int
    sequence: int
    time: float
    image: np.ndarray
    points: np.ndarray
    calibration: Dict[str, np.ndarray]
    pose: np.ndarray
    objects: List[KittiObject] = field(default_factory=list)
    plane: Optional[np.ndarray] = None

    @property
    def name(self) -> str:
        """Name of its files, six digits."""
        return f'{self.number:06d}'

    def matrix(self, name: str) -> np.ndarray:
        """One of the calibration's matrices, (4, 4)."""
        matrix = np.eye(4)
        given = self.calibration[name]
        matrix[:3, :given.shape[1]] = given
        return matrix

    @property
    def velo_to_rect(self) -> np.ndarray:
        """From the LiDAR to the rectified frame, (4, 4)."""
        return self.matrix('R0_rect') @ self.matrix('Tr_velo_to_cam')

    def reduced(self) -> np.ndarray:
        """The points that the camera sees, (M, 4)."""
        points = self.points[:, :3].astype(np.float64)
        to_image = self.matrix('P2') @ self.velo_to_rect
        x, y, depth = (points @ to_image[:3, :3].T + to_image[:3, 3]).T
        height, width = self.image.shape[:2]
        seen = ((depth > _NEAR) & (depth < _FAR) & (x > 0) &
                (x < width * depth) & (y > 0) & (y < height * depth))
        return self.points[seen]


class KittiWriter:
    """Write frames as ``image_2``, ``velodyne``, ``calib`` and ``label_2``.

    In addition to the official files, it writes the files that mmdet3d's
    ``create_data.py kitti`` derives for training (``kitti_infos_<split>.pkl``
    and ``velodyne_reduced``, including the ground truth of the test frames),
    ``planes`` (the road, in the format of that converter), and
    ``sequences/<split>.json`` with information that the benchmark of single
    frames lacks: order of the frames, times, poses of the LiDAR, and the
    track id of every line of the label files.

    Args:
        root (str): Folder of the KITTI data, the one with ``training``.
    """

    def __init__(self, root: str) -> None:
        self.root = root

    def path(self, frame: KittiFrame, kind: str, ending: str) -> str:
        """Path of one of a frame's files."""
        return osp.join(self.root, FOLDERS[frame.split], kind,
                        f'{frame.name}.{ending}')

    def write(self, frame: KittiFrame) -> None:
        """Write the files of a frame."""
        write_png(self.path(frame, 'image_2', 'png'), frame.image)
        write_bytes(
            self.path(frame, 'velodyne', 'bin'),
            np.ascontiguousarray(frame.points, '<f4').tobytes())
        write_bytes(
            self.path(frame, 'velodyne_reduced', 'bin'),
            np.ascontiguousarray(frame.reduced(), '<f4').tobytes())
        lines = [
            f'{name}: ' + ' '.join(f'{x:.12e}' for x in matrix.ravel())
            for name, matrix in frame.calibration.items()
        ]
        # The original's files end with an empty line.
        self._write_lines(self.path(frame, 'calib', 'txt'), lines + [''])
        self._write_lines(
            self.path(frame, 'label_2', 'txt'),
            [x.line() for x in frame.objects])
        if frame.plane is not None:
            self._write_lines(
                self.path(frame, 'planes', 'txt'), [
                    '# Plane', 'Width 4', 'Height 1', ' '.join(
                        f'{x:.6e}' for x in frame.plane)
                ])

    @staticmethod
    def _write_lines(path: str, lines: List[str]) -> None:
        write_bytes(path, ''.join(f'{line}\n' for line in lines).encode())

    def record(self, frame: KittiFrame) -> Dict[str, Any]:
        """The record of a frame for the lists."""
        return dict(
            sequence=frame.sequence,
            info=frame_info(frame),
            kept=dict(
                frame=frame.name,
                time=frame.time,
                velodyne_to_world=frame.pose.tolist(),
                track_ids=[x.track_id for x in frame.objects]))

    def finish(self, records: Dict[str, List[Dict[str, Any]]]) -> None:
        """Write the lists of frames, the infos and the sequences.

        Args:
            records (dict[str, list[dict]]): Of :meth:`record`, in order, by
                split.
        """
        records = dict(records, trainval=records['train'] + records['val'])
        for split, found in records.items():
            self._write_lines(
                osp.join(self.root, 'ImageSets', f'{split}.txt'),
                [x['kept']['frame'] for x in found])
            write_infos(
                osp.join(self.root, f'kitti_infos_{split}.pkl'),
                [x['info'] for x in found])
            if split in FOLDERS:
                write_json(
                    osp.join(self.root, 'sequences', f'{split}.json'),
                    _sequences(FOLDERS[split], found))


def _sequences(folder: str, records: List[Dict[str, Any]]) -> List[dict]:
    frames: Dict[int, List[dict]] = {}
    for record in records:
        frames.setdefault(record['sequence'], []).append(record['kept'])
    return [
        dict(sequence=number, folder=folder, frames=frames[number])
        for number in sorted(frames)
    ]


def write_infos(path: str, infos: List[dict]) -> None:
    """Write an info file of mmdet3d, version 1.1.

    Args:
        path (str): The file.
        infos (list[dict]): Of :func:`frame_info`.
    """
    categories = {name: i for i, name in enumerate(INFO_CLASSES)}
    categories['DontCare'] = -1
    content = dict(
        metainfo=dict(
            categories=categories, dataset='kitti', info_version='1.1'),
        data_list=infos)
    write_bytes(path, pickle.dumps(content, 4))


def frame_info(frame: KittiFrame) -> Dict[str, Any]:
    """The entry of a frame in mmdet3d's info files, with ground truth.

    The numbers are those of ``create_data.py kitti`` of mmdet3d 1.4.

    Args:
        frame (KittiFrame): The frame.

    Returns:
        dict: Of plain Python types.
    """
    velo_to_rect = frame.velo_to_rect
    height, width = frame.image.shape[:2]
    images: Dict[str, Any] = {}
    for i in range(4):
        matrix = frame.matrix(f'P{i}')
        images[f'CAM{i}'] = dict(
            cam2img=matrix.tolist(),
            lidar2img=(matrix @ velo_to_rect).tolist())
    images['CAM2'].update(
        img_path=f'{frame.name}.png',
        height=height,
        width=width,
        lidar2cam=velo_to_rect.tolist())
    images['R0_rect'] = frame.matrix('R0_rect').tolist()
    points = frame.reduced()[:, :3].astype(np.float64)
    points = points @ velo_to_rect[:3, :3].T + velo_to_rect[:3, 3]
    instances, seen = [], []
    for index, thing in enumerate(frame.objects):
        region = thing.name == 'DontCare'
        place, sizes = thing.location, thing.dimensions
        flat, depth = _to_image(
            np.array([[place[0], place[1] - sizes[0] / 2, place[2]]]),
            frame.matrix('P2'))
        common = dict(
            bbox_label=-1 if region else INFO_CLASSES.index(thing.name),
            bbox_3d=[*place, sizes[2], sizes[0], sizes[1], thing.rotation_y],
            depth=float(depth[0]),
            center_2d=flat[0].tolist())
        common['bbox_label_3d'] = common['bbox_label']
        instances.append(
            dict(
                common,
                bbox=list(thing.bbox),
                num_lidar_pts=-1 if region else int(
                    thing.contains(points).sum()),
                difficulty=thing.difficulty,
                truncated=thing.truncated,
                occluded=thing.occluded,
                alpha=thing.alpha,
                score=0.,
                index=-1 if region else index,
                group_id=index))
        outline = None if region else _outline(thing, frame)
        if outline is not None:
            seen.append(
                dict(common, bbox=outline, bbox_3d_isvalid=True, velocity=-1))
    return dict(
        sample_idx=frame.number,
        images=images,
        lidar_points=dict(
            num_pts_feats=4,
            lidar_path=f'{frame.name}.bin',
            Tr_velo_to_cam=frame.matrix('Tr_velo_to_cam').tolist(),
            Tr_imu_to_velo=frame.matrix('Tr_imu_to_velo').tolist()),
        instances=instances,
        cam_instances=dict(CAM2=seen))


def _to_image(points: np.ndarray,
              matrix: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 2) and depths (N, ) of points of the rectified frame."""
    projected = points @ matrix[:3, :3].T + matrix[:3, 3]
    return projected[:, :2] / projected[:, 2:], projected[:, 2]


def _outline(thing: KittiObject, frame: KittiFrame) -> Optional[List[float]]:
    """Box around the projected 3D box within the picture, if any."""
    corners = thing.corners()
    corners = corners[corners[:, 2] > 0]
    if not len(corners) or thing.location[2] <= 0:
        return None
    height, width = frame.image.shape[:2]
    shape = MultiPoint(_to_image(
        corners, frame.matrix('P2'))[0]).convex_hull.intersection(
            box(0, 0, width, height))
    return list(shape.bounds) if isinstance(shape, Polygon) else None
