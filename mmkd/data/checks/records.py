"""Faults in the objects of single records, as data sets parse them."""
from typing import Any, Iterator, List, Optional, Tuple

import numpy as np

from mmkd.data.checks.datasets import parts_of
from mmkd.data.checks.problems import Problem


def record_problems(dataset: Any,
                    num_classes: int,
                    limit: int = 200) -> List[Problem]:
    """Check labels and boxes of a data set's records; reads no images.

    Args:
        dataset (Dataset): A data set of mmengine, which has been read, or a
            wrapper of one or several.
        num_classes (int): Number of classes of the detection head.
        limit (int): Number of records, evenly spaced. Defaults to 200.

    Returns:
        list[Problem]: Labels that are no class; boxes past their image, if
        more than half of all are.
    """
    found: List[Problem] = []
    for part in parts_of(dataset):
        read = getattr(part, 'get_data_info', None)
        if read is None:
            continue
        count, boxes, outside = len(part), 0, []
        for i in range(0, count, -(-count // limit) or 1):
            info = read(i)
            for label, box in _objects(info):
                if not 0 <= label < num_classes:
                    found.append(
                        Problem(
                            _file_of(info), '',
                            f'has an object with the label {label}, but the '
                            f'head has {num_classes} classes, 0 to '
                            f'{num_classes - 1}',
                            'correct the annotations, the classes of the data '
                            'set or `num_classes` of the head'))
                    break
                boxes += 1
                if _is_outside(box, info):
                    outside.append((box, info))
        if len(outside) > max(1, boxes / 2):
            box, info = outside[0]
            found.append(
                Problem(
                    _file_of(info), '', f'has the box {list(box)} '
                    '([x1, y1, x2, y2]) past its image of '
                    f'{info["width"]} x {info["height"]} pixels, like '
                    f'{len(outside)} of {boxes} boxes',
                    'are the boxes of another size of the image?'))
    return found


def _objects(info: Any) -> Iterator[Tuple[int, Optional[list]]]:
    """Label and 2D box of each object that training takes."""
    if not isinstance(info, dict):
        return
    # mmdet3d keeps the numbers of the file in `instances`.
    labels = (info.get('ann_info') or {}).get('gt_labels_3d')
    if labels is not None:
        yield from ((int(label), None) for label in labels if label != -1)
        return
    for thing in info.get('instances') or []:
        if 'bbox_label' in thing and 'bbox_label_3d' not in thing and \
                not thing.get('ignore_flag'):
            yield int(thing['bbox_label']), thing.get('bbox')


def _is_outside(box: Any, info: dict) -> bool:
    """Whether a box ends past its image, by more than rounding."""
    width, height = info.get('width'), info.get('height')
    if not (isinstance(box, (list, tuple, np.ndarray)) and len(box) == 4
            and width and height):
        return False
    return (max(box[0], box[2]) > 1.02 * width + 2
            or max(box[1], box[3]) > 1.02 * height + 2)


def _file_of(info: dict) -> str:
    points = info.get('lidar_points') or {}
    return str(info.get('img_path') or points.get('lidar_path') or '')
