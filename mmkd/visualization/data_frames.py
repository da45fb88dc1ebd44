"""Figures of frames with ground truth: images, labels, boxes, points.

The folders are read in public formats, so real data can be drawn as well:
nuScenes, KITTI object and Cityscapes (with COCO annotations if present).
"""
import json
import os
import os.path as osp
from functools import cached_property
from glob import glob
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from mmkd.errors import ConfigError

#: Corner pairs of a box's edges: bottom, top, and vertical.
_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4),
          (0, 4), (1, 5), (2, 6), (3, 7))
#: A box is drawn if all corners are at least this far in front, metres.
_NEAR = 0.2

_COLORS = {
    'car': '#ffb000',
    'truck': '#ff6d00',
    'bus': '#e040fb',
    'tram': '#00b8d4',
    'train': '#00b8d4',
    'trailer': '#a1887f',
    'construction': '#c6a700',
    'pedestrian': '#2979ff',
    'person': '#2979ff',
    'motorcycle': '#ff1744',
    'bicycle': '#f50057',
    'cyclist': '#f50057',
    'rider': '#f50057',
    'trafficcone': '#00e676',
    'barrier': '#9e9e9e',
}


def class_color(name: str) -> str:
    """Colour of a class, by a known part of its name."""
    lower = name.lower()
    return next((color for key, color in _COLORS.items() if key in lower),
                '#76ff03')


def box_corners(centre: Sequence[float], size: Sequence[float],
                yaw: float) -> np.ndarray:
    """Corners of an upright box, z up.

    Args:
        centre (Sequence[float]): Centre (x, y, z), metres.
        size (Sequence[float]): (length, width, height), metres.
        yaw (float): Heading about z, radians.

    Returns:
        np.ndarray: (8, 3); first the four corners at the bottom, then those
        at the top; the first two of each are at the front.
    """
    length, width, height = size
    x = np.array([1, 1, -1, -1] * 2) * length / 2
    y = np.array([1, -1, -1, 1] * 2) * width / 2
    z = np.array([-1] * 4 + [1] * 4) * height / 2
    c, s = np.cos(yaw), np.sin(yaw)
    return np.stack([c * x - s * y, s * x + c * y, z], 1) + np.asarray(centre)


def project(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Project points in a camera frame (z forward) to pixels.

    Args:
        points (np.ndarray): (N, 3), metres.
        matrix (np.ndarray): (3, 3) or (3, 4), camera matrix.

    Returns:
        np.ndarray: (N, 3): column, row and depth.
    """
    if matrix.shape[1] == 4:
        points = np.concatenate([points, np.ones((len(points), 1))], 1)
    seen = points @ matrix.T
    depth = seen[:, 2:]
    return np.concatenate(
        [seen[:, :2] / np.where(np.abs(depth) < 1e-6, 1e-6, depth), depth], 1)


def _figure(width: float, height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), facecolor='white')
    FigureCanvasAgg(figure)
    return figure


def _save(figure, path: str) -> str:
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    figure.savefig(path, dpi=100, bbox_inches='tight')
    return path


def _show(axes, picture: np.ndarray, title: str = '') -> None:
    axes.imshow(picture, interpolation='nearest')
    axes.set(
        xlim=(-.5, picture.shape[1] - .5), ylim=(picture.shape[0] - .5, -.5))
    axes.set_axis_off()
    axes.set_title(title, fontsize=8, pad=2)


def _draw_box(axes, pixels: np.ndarray, color: str) -> None:
    """Draw a projected box (8, 3), unless a corner is behind the camera."""
    if (pixels[:, 2] < _NEAR).any():
        return
    for a, b in _EDGES:
        axes.plot(
            pixels[[a, b], 0], pixels[[a, b], 1], color=color, linewidth=.8)


def _draw_birds_eye(axes, points: np.ndarray, boxes: List[Dict[str, Any]],
                    reach: float) -> None:
    """Draw points and boxes in bird's-eye view, x upwards.

    Args:
        axes: Axes of matplotlib.
        points (np.ndarray): (N, 3+), ego frame, metres.
        boxes (list[dict]): ``corners`` (8, 3), ``name``, and optionally
            ``velocity`` (2, ) in m/s, ``track`` (T, 2) in metres and
            ``label``.
        reach (float): Half the side of the view, metres.
    """
    order = np.argsort(points[:, 2])
    points = points[order]
    axes.scatter(
        points[:, 1],
        points[:, 0],
        c=np.clip(points[:, 2], -2, 3),
        s=.25,
        cmap='viridis',
        linewidths=0)
    for box in boxes:
        color, floor = class_color(box['name']), box['corners'][:4]
        ring = floor[[0, 1, 2, 3, 0]]
        axes.plot(ring[:, 1], ring[:, 0], color=color, linewidth=.9)
        middle, front = floor.mean(0), floor[:2].mean(0)
        axes.plot([middle[1], front[1]], [middle[0], front[0]],
                  color=color,
                  linewidth=.9)
        track = box.get('track')
        if track is not None and len(track) > 1:
            axes.plot(track[:, 1], track[:, 0], ':', color=color, linewidth=.7)
        velocity = box.get('velocity')
        if velocity is not None and np.isfinite(velocity).all() and np.hypot(
                *velocity) > .2:
            axes.annotate(
                '', (middle[1] + velocity[1], middle[0] + velocity[0]),
                (middle[1], middle[0]),
                arrowprops=dict(arrowstyle='->', color='red', lw=.8))
        if box.get('label') and np.abs(middle[:2]).max() < reach:
            axes.text(
                middle[1], middle[0], box['label'], fontsize=4, color='black')
    axes.plot(0, 0, marker='^', color='red', markersize=5)
    # +y points to the left.
    axes.set(xlim=(reach, -reach), ylim=(-reach, reach), aspect='equal')
    axes.tick_params(labelsize=6)
    axes.set_title('from above, metres', fontsize=8, pad=2)


class NuScenesFrames:
    """Key frames of nuScenes: six cameras, LiDAR, boxes, tracks.

    Args:
        root (str): Folder with ``v1.0-*``, ``samples`` and ``sweeps``.
        version (str, optional): Which ``v1.0-*``. Defaults to None: the
            first one.
    """
    CAMERAS = ('CAM_FRONT_LEFT', 'CAM_FRONT', 'CAM_FRONT_RIGHT',
               'CAM_BACK_LEFT', 'CAM_BACK', 'CAM_BACK_RIGHT')

    def __init__(self, root: str, version: Optional[str] = None) -> None:
        from nuscenes.nuscenes import NuScenes
        found = sorted(
            osp.basename(path) for path in glob(osp.join(root, 'v1.0-*')))
        if version is None:
            version = found[0]
        elif version not in found:
            raise ConfigError(f'{root} has no version {version!r}; it has '
                              f'{", ".join(found)}')
        self.nusc = NuScenes(version, root, verbose=False)

    def __len__(self) -> int:
        return len(self.nusc.sample)

    def name(self, index: int) -> str:
        """Scene and time of a frame."""
        sample = self.nusc.sample[index]
        scene = self.nusc.get('scene', sample['scene_token'])
        first = self.nusc.get('sample', scene['first_sample_token'])
        passed = (sample['timestamp'] - first['timestamp']) / 1e6
        return f'{scene["name"]}_{passed:04.1f}s'

    def _boxes(self, sample: dict, rotation: np.ndarray,
               origin: np.ndarray) -> List[Dict[str, Any]]:
        """Boxes in the ego frame."""
        boxes = []
        for token in sample['anns']:
            found = self.nusc.get('sample_annotation', token)
            box = self.nusc.get_box(token)
            corners = (box.corners().T - origin) @ rotation
            # The devkit's order is front face, then back face.
            corners = corners[[3, 2, 6, 7, 0, 1, 5, 4]]
            velocity = self.nusc.box_velocity(token) @ rotation
            track, at = [found['translation']], found['prev']
            while at:
                before = self.nusc.get('sample_annotation', at)
                track.append(before['translation'])
                at = before['prev']
            boxes.append(
                dict(
                    name=found['category_name'],
                    corners=corners,
                    world=box,
                    velocity=velocity[:2],
                    track=((np.array(track) - origin) @ rotation)[:, :2],
                    label=found['instance_token'][:4]))
        return boxes

    def draw(self, index: int, path: str, reach: float = 55.) -> str:
        """Write the picture of a frame.

        Args:
            index (int): Number of the sample.
            path (str): The PNG to write.
            reach (float): Half the side of the view from above, metres.
                Defaults to 55.
        """
        import mmcv
        from nuscenes.utils.data_classes import LidarPointCloud
        from pyquaternion import Quaternion
        nusc, sample = self.nusc, self.nusc.sample[index]
        lidar = nusc.get('sample_data', sample['data']['LIDAR_TOP'])
        pose = nusc.get('ego_pose', lidar['ego_pose_token'])
        mount = nusc.get('calibrated_sensor', lidar['calibrated_sensor_token'])
        cloud = LidarPointCloud.from_file(
            osp.join(nusc.dataroot, lidar['filename'])).points[:3].T
        cloud = cloud @ Quaternion(mount['rotation']).rotation_matrix.T + \
            np.array(mount['translation'])
        boxes = self._boxes(sample,
                            Quaternion(pose['rotation']).rotation_matrix,
                            np.array(pose['translation']))
        figure = _figure(17, 6)
        grid = figure.add_gridspec(
            2, 4, width_ratios=[1, 1, 1, 1.35], wspace=.03, hspace=.08)
        for place, camera in enumerate(self.CAMERAS):
            if camera not in sample['data']:
                continue
            token = sample['data'][camera]
            file, seen, matrix = nusc.get_sample_data(token)
            axes = figure.add_subplot(grid[place // 3, place % 3])
            _show(axes, mmcv.imread(file, channel_order='rgb'), camera)
            for box in seen:
                _draw_box(
                    axes,
                    project(box.corners().T, matrix)[[3, 2, 6, 7, 0, 1, 5, 4]],
                    class_color(box.name))
        _draw_birds_eye(figure.add_subplot(grid[:, 3]), cloud, boxes, reach)
        figure.suptitle(
            f'{self.name(index)}, {len(boxes)} objects, '
            f'{len(cloud)} points',
            fontsize=9,
            y=.95)
        return _save(figure, path)


class KittiFrames:
    """Frames of KITTI object: camera, LiDAR, boxes.

    Args:
        root (str): Folder with ``training``.
        part (str): ``'training'`` or ``'testing'``.
    """

    def __init__(self, root: str, part: str = 'training') -> None:
        self.root = osp.join(root, part)
        self.names = sorted(
            osp.splitext(osp.basename(path))[0]
            for path in glob(osp.join(self.root, 'image_2', '*.png')))
        if not self.names:
            raise ConfigError(f'{self.root} has no pictures in image_2')

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """Number of a frame."""
        return self.names[index]

    def _file(self, kind: str, index: int, ending: str) -> str:
        return osp.join(self.root, kind, f'{self.names[index]}.{ending}')

    def calibration(self, index: int) -> Dict[str, np.ndarray]:
        """Matrices of a frame by name, such as ``P2``, (3, 4)."""
        found = {}
        with open(self._file('calib', index, 'txt'), encoding='utf-8') as file:
            for line in file:
                if ':' in line:
                    key, numbers = line.split(':', 1)
                    found[key] = np.array(numbers.split(),
                                          float).reshape(3, -1)
        return found

    def draw(self, index: int, path: str, reach: float = 45.) -> str:
        """Write the picture of a frame.

        Args:
            index (int): Number of the frame in the folder.
            path (str): The PNG to write.
            reach (float): Half the side of the view from above, metres.
                Defaults to 45.
        """
        import mmcv
        matrices = self.calibration(index)
        rectify = matrices['R0_rect'] @ matrices['Tr_velo_to_cam']
        cloud = np.fromfile(self._file('velodyne', index, 'bin'),
                            np.float32).reshape(-1, 4)
        picture = mmcv.imread(
            self._file('image_2', index, 'png'), channel_order='rgb')
        figure = _figure(11, 9)
        grid = figure.add_gridspec(2, 1, height_ratios=[1, 2], hspace=.06)
        axes = figure.add_subplot(grid[0])
        _show(axes, picture, f'{self.names[index]}, {len(cloud)} points')
        boxes = []
        labels = self._file('label_2', index, 'txt')
        lines = open(labels).read().splitlines() if osp.isfile(labels) else []
        for line in lines:
            kind, *fields = line.split()
            numbers = np.array(fields, float)
            left, top, right, bottom = numbers[3:7]
            color = class_color(kind)
            axes.plot([left, right, right, left, left],
                      [top, top, bottom, bottom, top],
                      '--' if kind == 'DontCare' else '-',
                      color=color,
                      linewidth=.5)
            if kind == 'DontCare':
                continue
            height, width, length = numbers[7:10]
            # Camera axes: x right, y down, z front; centre of the bottom face.
            corners = box_corners((0, 0, height / 2), (length, width, height),
                                  0.)
            c, s = np.cos(numbers[13]), np.sin(numbers[13])
            turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
            in_camera = np.stack(
                [corners[:, 0], -corners[:, 2], corners[:, 1]],
                1) @ turn.T + numbers[10:13]
            _draw_box(axes, project(in_camera, matrices['P2']), color)
            in_velodyne = (in_camera - rectify[:, 3]) @ np.linalg.inv(
                rectify[:, :3]).T
            boxes.append(dict(name=kind, corners=in_velodyne))
        _draw_birds_eye(figure.add_subplot(grid[1]), cloud, boxes, reach)
        return _save(figure, path)


class CityscapesFrames:
    """Images of Cityscapes with labels, and boxes if COCO's exist.

    Args:
        root (str): Folder with ``leftImg8bit`` and ``gtFine``.
        colors (np.ndarray): uint8, (256, 3), RGB colour of each label id.
        split (str): ``'train'``, ``'val'`` or ``'test'``.
    """

    def __init__(self,
                 root: str,
                 colors: np.ndarray,
                 split: str = 'val') -> None:
        self.root, self.colors, self.split = root, colors, split
        self.paths = sorted(
            glob(
                osp.join(root, 'leftImg8bit', split, '*',
                         '*_leftImg8bit.png')))
        if not self.paths:
            raise ConfigError(f'{root} has no pictures of {split!r}')

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Name of a picture."""
        return osp.basename(self.paths[index]).replace('_leftImg8bit.png', '')

    @cached_property
    def _annotations(self) -> Tuple[Dict[str, List[dict]], Dict[int, str]]:
        path = osp.join(self.root, 'annotations',
                        f'instances_{self.split}.json')
        if not osp.isfile(path):
            return {}, {}
        with open(path, encoding='utf-8') as file:
            found = json.load(file)
        files = {x['id']: x['file_name'] for x in found['images']}
        by_file: Dict[str, List[dict]] = {}
        for annotation in found['annotations']:
            by_file.setdefault(files[annotation['image_id']],
                               []).append(annotation)
        return by_file, {x['id']: x['name'] for x in found['categories']}

    def draw(self, index: int, path: str) -> str:
        """Write the picture of a frame.

        Args:
            index (int): Number of the picture in its split.
            path (str): The PNG to write.
        """
        import mmcv
        source = self.paths[index]
        picture = mmcv.imread(source, channel_order='rgb')
        truth = osp.join(
            self.root, 'gtFine',
            osp.relpath(source, osp.join(self.root, 'leftImg8bit')).replace(
                '_leftImg8bit.png', '_gtFine_{}.png'))
        labels = mmcv.imread(
            truth.format('labelIds'), flag='unchanged', backend='pillow')
        figure = _figure(15, 3)
        cells = figure.subplots(1, 3)
        figure.subplots_adjust(wspace=.02)
        _show(cells[0], picture, self.name(index))
        _show(cells[1], self.colors[labels], 'labels')
        by_file, names = self._annotations
        _show(cells[2], picture // 2, 'instances')
        for annotation in by_file.get(
                osp.relpath(source, osp.join(self.root, 'leftImg8bit')), []):
            x, y, w, h = annotation['bbox']
            cells[2].plot(
                np.array([x, x + w, x + w, x, x]) - .5,
                np.array([y, y, y + h, y + h, y]) - .5,
                ':' if annotation['iscrowd'] else '-',
                color=class_color(names[annotation['category_id']]),
                linewidth=.8)
        return _save(figure, path)


def open_frames(root: str, colors: np.ndarray, part: Optional[str] = None):
    """Open the frames of a folder; the format is detected from its content.

    Args:
        root (str): Folder of a data set in one of the formats.
        colors (np.ndarray): uint8, (256, 3), RGB colours of Cityscapes'
            label ids.
        part (str, optional): Version of nuScenes, ``training`` or
            ``testing`` of KITTI, or split of Cityscapes. Defaults to None:
            the default of each format.

    Returns:
        NuScenesFrames | KittiFrames | CityscapesFrames: The frames.

    Raises:
        ConfigError: If the folder holds none of the formats.
    """
    kwargs: Dict[str, Any] = {}
    if glob(osp.join(root, 'v1.0-*')):
        kind, key = NuScenesFrames, 'version'
    elif osp.isdir(osp.join(root, 'training')):
        kind, key = KittiFrames, 'part'
    elif osp.isdir(osp.join(root, 'leftImg8bit')):
        kind, key = CityscapesFrames, 'split'
        kwargs['colors'] = colors
    else:
        raise ConfigError(
            f'{root} holds neither nuScenes (v1.0-*), nor KITTI (training/), '
            'nor Cityscapes (leftImg8bit/); the driving scenes have nuScenes '
            'and KITTI in the folders nuscenes and kitti')
    if part:
        kwargs[key] = part
    return kind(root, **kwargs)
