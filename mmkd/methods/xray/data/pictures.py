"""Figures of object-complete frames."""
import os.path as osp
from typing import List

import numpy as np

from mmkd.methods.xray.data.boxes import yaw_of_box
from mmkd.methods.xray.data.completion import CompleteObjects, read_points
from mmkd.visualization.data_frames import (_EDGES, _figure, _save,
                                            box_corners, class_color)

_OWN, _ADDED = '#455a64', '#d50000'


def _boxes_from_above(axes, instances: List[dict], reach: float) -> None:
    for instance in instances:
        if instance['bbox_label_3d'] < 0:
            continue
        box = np.array(instance['box_lidar'])
        corners = box_corners(box[:3], box[3:6], yaw_of_box(box))[:4]
        outline = np.concatenate([corners, corners[:1]])
        axes.plot(outline[:, 0], outline[:, 1], color='#2979ff', linewidth=.6)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect='equal')
    axes.tick_params(labelsize=6)


def draw_frame(info: dict, points_folder: str, path: str) -> str:
    """Draw the ordinary and the complete frame from above, and an object.

    The object is the visible one that gains the most points.

    Args:
        info (dict): Frame of an index file of ``mmkd complete``.
        points_folder (str): Folder of the points.
        path (str): File to write, PNG.

    Returns:
        str: The file.
    """
    lidar = osp.join(points_folder, info['lidar_points']['lidar_path'])
    points = read_points(lidar, info['lidar_points']['num_pts_feats'])
    store = info['complete_objects']
    objects = CompleteObjects.load(osp.join(osp.dirname(lidar), store['path']))
    chosen = [
        x for x in info['instances']
        if x['complete_index'] >= 0 and x['num_own_pts'] > 0
    ]
    added = [
        objects.place(x['complete_index'], store['frame'],
                      np.array(x['box_lidar'])).points for x in chosen
    ]
    extra = np.concatenate(added) if added else points[:0]
    figure = _figure(15, 5.2)
    reach = float(np.clip(np.abs(points[:, :2]).max(), 20, 50))
    for column, (title, more) in enumerate(
        (('ordinary', points[:0]), ('object-complete', extra))):
        axes = figure.add_subplot(1, 3, column + 1)
        for cloud, color in ((points, _OWN), (more, _ADDED)):
            axes.scatter(
                cloud[:, 0],
                cloud[:, 1],
                s=.5,
                c=color,
                linewidths=0,
                rasterized=True)
        _boxes_from_above(axes, info['instances'], reach)
        axes.set_title(
            f'{title}: {len(points) + len(more)} points', fontsize=9)
    axes = figure.add_subplot(1, 3, 3, projection='3d')
    if added:
        best = int(np.argmax([len(x) for x in added]))
        _draw_object(axes, points, added[best], chosen[best],
                     str(objects.name[chosen[best]['complete_index']]))
    return _save(figure, path)


def _draw_object(axes, points: np.ndarray, added: np.ndarray, instance: dict,
                 name: str) -> None:
    """An object with its own points, those of other frames, and its box."""
    from mmkd.methods.xray.data.boxes import points_in_box
    box = np.array(instance['box_lidar'])
    own = points[points_in_box(points, box)]
    corners = box_corners(box[:3], box[3:6], yaw_of_box(box))
    for a, b in _EDGES:
        axes.plot(*corners[[a, b]].T, color=class_color(name), linewidth=1)
    for cloud, color, label in ((added, _ADDED, 'other frames'),
                                (own, _OWN, 'this frame')):
        axes.scatter(*cloud[:, :3].T, s=3, c=color, linewidths=0, label=label)
    axes.set_box_aspect(np.ptp(corners, axis=0))
    axes.set_title(f'{name}: {len(own)} + {len(added)} points', fontsize=9)
    axes.legend(fontsize=7, loc='upper right')
    axes.tick_params(labelsize=6)


def draw_frames(infos: dict, points_folder: str, folder: str,
                count: int) -> List[str]:
    """Draw frames evenly spread over an index file; see :func:`draw_frame`."""
    frames = infos['data_list']
    count = min(count, len(frames))
    return [
        draw_frame(
            info, points_folder,
            osp.join(
                folder, f'{info["scene_token"]}_'
                f'{info["complete_objects"]["frame"]:03d}.png'))
        for info in (frames[i * len(frames) // count] for i in range(count))
    ]
