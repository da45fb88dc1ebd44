"""Faults in index files of mmdet3d, as ``Det3DDataset`` reads them."""
import os
import os.path as osp
from typing import (Any, Dict, Iterator, List, Mapping, Optional, Sequence,
                    Tuple)

import numpy as np

from mmkd.data.checks.files import (is_local, missing_files, read_index,
                                    scan_fault)
from mmkd.data.checks.problems import Problem

#: Metres, radians: far beyond any sensor, so that a wrong unit is found.
_FAR, _TURNS = 1e4, 100.
#: Number of scans whose size is checked, and of those whose numbers are.
_SIZES, _SCANS = 200, 4
_PATHS = 'check `data_root` and `data_prefix` of the data set'


def infos_problems(dataset: Any, transforms: Mapping[str,
                                                     dict]) -> List[Problem]:
    """Check the index file of a ``Det3DDataset``, and some of its scans.

    Args:
        dataset (Det3DDataset): It need not have been read.
        transforms (Mapping[str, dict]): Its transforms by class name.

    Returns:
        list[Problem]: What is wrong.

    Raises:
        DataError: If the file cannot be read.
    """
    index = _Index(dataset, read_index(dataset.ann_file))
    found = list(index.structure())
    if not found:
        found = [*index.boxes(), *index.matrices()]
    if found or dataset._indices is not None:
        return found
    loads_points = 'LoadPointsFromFile' in transforms and \
        dataset.modality['use_lidar']
    scans = list(index.scans()) if loads_points else []
    found = missing_files(scans, _PATHS)
    if 'LoadPointsFromMultiSweeps' in transforms:
        found += missing_files(index.sweeps(), _PATHS)
    if dataset.modality['use_camera']:
        found += missing_files(index.images(), _PATHS)
    return found or list(
        _wrong_columns([x[0]
                        for x in scans], transforms['LoadPointsFromFile'].get(
                            'load_dim', 6) if scans else None))


def _wrong_columns(paths: Sequence[str],
                   columns: Optional[int]) -> Iterator[Problem]:
    remedy = ('set `load_dim` of LoadPointsFromFile to the number of values '
              'of a point')
    for path in paths[::max(1, len(paths) // _SIZES)][:_SIZES]:
        fault = scan_fault(path, columns)
        if fault and fault != 'is empty':  # named when it is read
            yield Problem(path, '', fault, remedy)
    if not columns:
        return
    for path in paths[::max(1, len(paths) // _SCANS)][:_SCANS]:
        if not path.endswith('.bin') or scan_fault(path, columns):
            continue
        values = np.fromfile(path, np.float32, 1 << 16)
        better = likely_columns(values, columns, osp.getsize(path) // 4)
        if better:
            yield Problem(
                path, '', f'seems to have {better} values a point, not '
                f'{columns}', remedy)


def likely_columns(values: np.ndarray, columns: int,
                   size: int) -> Optional[int]:
    """Guess the number of columns if another one fits far better.

    Coordinates and intensities have different spreads. In rows of a wrong
    length they are mixed, which raises the mean logarithm of the variances of
    the columns.

    Args:
        values (np.ndarray): Begin of a file of points.
        columns (int): Number of columns in the config.
        size (int): Number of values in the whole file.

    Returns:
        int, optional: The number, or None if that of the config may be right.
    """
    if len(values) < 1000 or not np.isfinite(values).all():
        return None

    def spread(count: int) -> float:
        rows = values[:len(values) // count * count].reshape(-1, count)
        return float(np.log(rows.var(0, np.float64) + 1e-6).mean())

    fits = {n: spread(n) for n in range(3, 9) if size % n == 0}
    # Twice as many columns fit as well.
    best = min((n for n in fits if fits[n] < min(fits.values()) + .1),
               default=columns)
    if columns % best and best % columns and \
            spread(columns) - fits[best] > np.log(3):
        return best
    return None


class _Index:
    """The content of an index file."""

    def __init__(self, dataset: Any, content: Any) -> None:
        self.dataset = dataset
        self.path = dataset.ann_file
        self.content = content
        names = {cls.__name__ for cls in type(dataset).__mro__}
        self.kitti = 'KittiDataset' in names
        self.nuscenes = 'NuScenesDataset' in names

    def _problem(self, i: int, what: str, remedy: str = '') -> Problem:
        info = self.content['data_list'][i]
        sample = info.get('sample_idx') if isinstance(info, dict) else None
        return Problem(self.path, f'data_list[{i}] (sample {sample})', what,
                       remedy)

    # ------------------------------------------------------------ structure

    def structure(self) -> Iterator[Problem]:
        """Fields that are missing, or of a wrong kind."""
        content = self.content
        if not isinstance(content, dict) or not isinstance(
                content.get('data_list'), list):
            old = ' (it seems to be of mmdet3d 0.x)' * isinstance(
                content, list)
            yield Problem(
                self.path, '', 'has no list `data_list`, as index files of '
                f'mmdet3d have{old}', "make it with mmdet3d's create_data.py")
            return
        if not isinstance(content.get('metainfo'), dict):
            yield Problem(self.path, '', 'has no `metainfo`')
        for i, info in enumerate(content['data_list']):
            what = self._missing(info)
            if what:
                yield self._problem(i, what)

    def _missing(self, info: Any) -> Optional[str]:
        if not isinstance(info, dict):
            return 'is not a dict'
        modality = self.dataset.modality
        if modality['use_lidar']:
            points = info.get('lidar_points')
            if not isinstance(points, dict):
                return 'has no `lidar_points`'
            for key in ('lidar_path', 'num_pts_feats'):
                if key not in points:
                    return f'has no `lidar_points.{key}`'
            if not isinstance(points['lidar_path'], str):
                return 'has a `lidar_points.lidar_path` that is no text'
        images = info.get('images')
        if modality['use_camera'] or self.kitti:
            if not isinstance(images, dict):
                return 'has no `images`'
        camera = self.dataset.default_cam_key
        if modality['use_camera'] and camera:
            if 'img_path' not in (images.get(camera) or {}):
                return f'has no `images.{camera}.img_path`'
        if self.kitti:
            if 'lidar2cam' not in (images.get('CAM2') or {}):
                return 'has no `images.CAM2.lidar2cam`'
        return self._instance_fault(info)

    def _instances(self, info: dict) -> List[dict]:
        """Objects that are read; those of single cameras are not checked."""
        frames = getattr(self.dataset, 'load_type', 'frame_based')
        if frames == 'frame_based' and (self.dataset.load_eval_anns
                                        or not self.dataset.test_mode):
            return info['instances']
        return []

    def _instance_fault(self, info: dict) -> Optional[str]:
        try:
            instances = self._instances(info)
        except KeyError:
            return 'has no `instances`'
        if not isinstance(instances, list):
            return 'has `instances` that are no list'
        if not instances:
            return None
        needed = {'bbox_3d', 'bbox_label_3d'}
        if self.nuscenes:
            needed.add('bbox_3d_isvalid' if self.dataset.
                       use_valid_flag else 'num_lidar_pts')
            if self.dataset.with_velocity:
                needed.add('velocity')
        if isinstance(instances[0], dict):
            # mmdet3d reads the fields of the first one from all.
            needed.update(instances[0])
        known = self.dataset.label_mapping
        for j, instance in enumerate(instances):
            if not isinstance(instance, dict):
                return f'has instances[{j}] that is not a dict'
            if not needed <= instance.keys():
                field = sorted(needed - instance.keys())[0]
                return f'has instances[{j}] without `{field}`'
            label = instance['bbox_label_3d']
            if label not in known:
                return (f'has instances[{j}] with the `bbox_label_3d` {label}'
                        f', but {type(self.dataset).__name__} has the labels '
                        f'-1 to {max(known)}')
            for key, count in (('bbox_3d', 7), ('velocity', 2)):
                value = instance.get(key)
                if key in needed and (not hasattr(value, '__len__')
                                      or len(value) != count):
                    return (f'has instances[{j}] with the `{key}` {value!r}, '
                            f'which is not {count} numbers')
        return None

    # ---------------------------------------------------------------- boxes

    def boxes(self) -> Iterator[Problem]:
        """3D boxes and velocities of used classes with impossible values."""
        where: List[Tuple[int, int]] = []
        boxes: List[Sequence[float]] = []
        velocities: List[Sequence[float]] = []
        used = {k for k, v in self.dataset.label_mapping.items() if v >= 0}
        speed = self.nuscenes and self.dataset.with_velocity
        for i, info in enumerate(self.content['data_list']):
            for j, instance in enumerate(self._instances(info)):
                if instance['bbox_label_3d'] in used:
                    where.append((i, j))
                    boxes.append(instance['bbox_3d'])
                    if speed:
                        velocities.append(instance['velocity'])
        if not boxes:
            return
        table, speeds = _table(boxes, (7, )), _table(velocities, (2, ))
        if table is None or speeds is None:
            for (i, j), *values in zip(where, boxes, velocities or boxes):
                if not all(map(_numeric, values)):
                    yield self._problem(
                        i, f'has instances[{j}] with {values[0]!r}, which '
                        'are not numbers')
            return
        for rows, what, remedy in _box_faults(table, speeds):
            for row in np.flatnonzero(rows).tolist():
                i, j = where[row]
                yield self._problem(i, f'has instances[{j}] with {what(row)}',
                                    remedy)

    def matrices(self) -> Iterator[Problem]:
        """Matrices by which KITTI's boxes cannot be moved."""
        if not self.kitti:
            return
        name = 'images.CAM2.lidar2cam'
        values = [
            info['images']['CAM2']['lidar2cam']
            for info in self.content['data_list']
        ]
        table = _table(values, (4, 4))
        if table is None:
            for i, value in enumerate(values):
                if _table([value], (4, 4)) is None:
                    yield self._problem(
                        i, f'has an `{name}` that is not 4 x 4 numbers')
            return
        good = np.isfinite(table).all((1, 2))
        good[good] = np.abs(np.linalg.det(table[good])) > 1e-6
        for i in np.flatnonzero(~good).tolist():
            yield self._problem(i, f'has an `{name}` that has no inverse')

    # ---------------------------------------------------------------- files

    def scans(self) -> Iterator[Tuple[str, str, str]]:
        """Path, index and record of all scans."""
        folder = self.dataset.data_prefix.get('pts', '')
        if not is_local(folder, self.dataset.backend_args):
            return
        for i, info in enumerate(self.content['data_list']):
            yield (osp.join(folder, info['lidar_points']['lidar_path']),
                   self.path, f'data_list[{i}]')

    def sweeps(self) -> Iterator[Tuple[str, str, str]]:
        """Path, index and record of the earlier scans."""
        prefix = self.dataset.data_prefix
        for i, info in enumerate(self.content['data_list']):
            for sweep in info.get('lidar_sweeps') or []:
                path = sweep['lidar_points']['lidar_path']
                folder = prefix.get('pts' if 'samples' in path else 'sweeps',
                                    '')
                if is_local(folder, self.dataset.backend_args):
                    yield (osp.join(folder,
                                    path.split(os.sep)[-1]), self.path,
                           f'data_list[{i}].lidar_sweeps')

    def images(self) -> Iterator[Tuple[str, str, str]]:
        """Path, index and record of the images."""
        prefix: Dict[str, str] = self.dataset.data_prefix
        only = self.dataset.default_cam_key
        for i, info in enumerate(self.content['data_list']):
            for camera, image in info['images'].items():
                if (only and camera != only) or not isinstance(
                        image, dict) or not image.get('img_path'):
                    continue
                folder = prefix.get(camera, prefix.get('img', ''))
                if is_local(folder, self.dataset.backend_args):
                    yield (osp.join(folder, image['img_path']), self.path,
                           f'data_list[{i}].images.{camera}')


def _box_faults(boxes: np.ndarray, speeds: np.ndarray) -> Iterator[tuple]:
    """Mask of rows, text for a row, and remedy of each kind of fault."""

    def box(row: int) -> str:
        return f'the `bbox_3d` {[round(x, 4) for x in boxes[row].tolist()]}'

    finite = np.isfinite(boxes).all(1)
    yield ~finite, box, 'a 3D box is finite: correct or remove it'
    with np.errstate(invalid='ignore'):
        yield (finite & (boxes[:, 3:6] <= 0).any(1), box,
               'sizes are positive, in metres: correct or remove the box')
        yield (finite & (np.abs(boxes[:, :3]) > _FAR).any(1), box,
               'the centre is in metres from the sensor')
        yield (finite & (boxes[:, 3:6] > _FAR).any(1), box,
               'sizes are in metres')
        yield (finite & (np.abs(boxes[:, 6]) > _TURNS), box,
               'the yaw is in radians')
    if len(speeds):
        # mmdet3d takes a NaN in the first place for an unknown velocity.
        unknown = np.isnan(speeds[:, 0])
        yield (~unknown & ~np.isfinite(speeds).all(1),
               lambda row: f'the `velocity` {speeds[row].tolist()}',
               'a velocity is finite, or [NaN, NaN] if it is unknown')


def _table(rows: Sequence[Any], shape: Tuple[int,
                                             ...]) -> Optional[np.ndarray]:
    """The rows as float64, or None if some are not numbers."""
    try:
        table = np.array(rows)
    except ValueError:
        return None
    if not len(rows):
        return np.zeros((0, *shape))
    return table.astype(np.float64) if table.dtype.kind in 'iuf' and \
        table.shape[1:] == shape else None


def _numeric(value: Any) -> bool:
    return np.array(value).dtype.kind in 'iuf'
