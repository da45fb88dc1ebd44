"""Predictions as labels: index files for sequences without annotations."""
import os.path as osp
from typing import Any, Dict, Optional, Sequence

import numpy as np

from mmkd.errors import ConfigError
from mmkd.methods.xray.data.boxes import points_in_boxes, upright_box
from mmkd.methods.xray.data.completion import read_points
from mmkd.methods.xray.data.infos import Infos, class_names

#: Minimum score of a label.
MIN_SCORE = 0.3


def label_frames(infos: Infos,
                 predictions: Dict[int, Any],
                 classes: Sequence[str],
                 points_folder: str,
                 min_score: Optional[Dict[str, float]] = None,
                 min_points: int = 1) -> Infos:
    """Replace the boxes of an index file with predicted ones.

    Args:
        infos (dict): Index file with ``scene_token`` and ``lidar2global``
            (:func:`~.infos.add_identities`). Its boxes are ignored.
        predictions (dict[int, InstanceData]): By ``sample_idx``:
            ``bboxes_3d`` (LiDAR boxes), ``scores_3d`` and ``labels_3d``.
        classes (Sequence[str]): Names of the predicted labels.
        points_folder (str): Folder of the ordinary points.
        min_score (dict[str, float], optional): Minimum score by class.
            Defaults to None: 0.3 for each.
        min_points (int): Minimum number of ordinary points in a box, since
            invisible objects cannot be labels. Defaults to 1.

    Returns:
        dict: The index file; frames without predictions have no boxes. Each
        box has its ``score`` and the fields that mmdet3d's data set needs.

    Raises:
        ConfigError: If the index file lacks a class.
    """
    numbers = {name: number for number, name in class_names(infos).items()}
    unknown = [name for name in classes if name not in numbers]
    if unknown:
        raise ConfigError(f'the index file has no class {unknown[0]!r}; it '
                          f'has {", ".join(numbers)}')
    kind = infos['metainfo'].get('dataset', '').lower()
    infos = dict(infos, data_list=[dict(x) for x in infos['data_list']])
    for info in infos['data_list']:
        for key in ('cam_instances', 'complete_objects'):
            info.pop(key, None)
        info['instances'] = []
        found = predictions.get(info['sample_idx'])
        if found is None or not len(found.scores_3d):
            continue
        lidar = info['lidar_points']
        points = read_points(
            osp.join(points_folder, lidar['lidar_path']),
            lidar['num_pts_feats'])
        tensor = found.bboxes_3d.tensor.double().cpu().numpy()
        centres = tensor[:, :3] + [[0, 0, .5]] * tensor[:, 5:6]
        boxes = np.array([
            upright_box(centre, row[3:6], row[6])
            for centre, row in zip(centres, tensor)
        ])
        inside = points_in_boxes(points, boxes)
        for box, row, score, label, index in zip(boxes, tensor,
                                                 found.scores_3d.tolist(),
                                                 found.labels_3d.tolist(),
                                                 inside):
            name = classes[label]
            least = (min_score or {}).get(name, MIN_SCORE)
            if score < least or len(index) < min_points:
                continue
            info['instances'].append(
                dict(
                    _instance(kind, box, row, info),
                    bbox_label=numbers[name],
                    bbox_label_3d=numbers[name],
                    num_lidar_pts=len(index),
                    score=float(score),
                    instance_id='',
                    box_lidar=box.tolist()))
    return infos


def _instance(kind: str, box: np.ndarray, row: np.ndarray,
              info: dict) -> Dict[str, Any]:
    """A box in the format of an index file."""
    if kind == 'kitti':
        lidar_to_cam = np.array(info['images']['CAM2']['lidar2cam'])
        below = lidar_to_cam @ [*row[:3], 1]
        length, width, height, yaw = row[3:7]
        rotation = (-yaw - np.pi / 2 + np.pi) % (2 * np.pi) - np.pi
        return dict(
            bbox=[0.] * 4,
            bbox_3d=[*below[:3].tolist(), length, height, width, rotation],
            depth=float(below[2]),
            center_2d=[0., 0.],
            difficulty=0,
            truncated=0.,
            occluded=0,
            alpha=0.,
            index=0,
            group_id=0)
    if kind == 'nuscenes':
        velocity = row[7:9].tolist() if len(row) >= 9 else [0., 0.]
        return dict(
            bbox_3d=[*box[:6].tolist(), float(row[6])],
            velocity=velocity,
            num_radar_pts=0,
            bbox_3d_isvalid=True)
    return dict(bbox_3d=row[:7].tolist())
