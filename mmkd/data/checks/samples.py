"""Faults that show only in the pixels and points of a sample."""
from typing import Any, Iterator, List, NamedTuple, Optional, Set, Tuple

import numpy as np
from torch import Tensor

from mmkd.data.checks import coco, segmentation
from mmkd.data.checks.coco import CORRECT_SIZE
from mmkd.data.checks.files import (file_fault, image_fault, is_endless,
                                    looks_like_text, scan_fault)
from mmkd.data.checks.images import size_remedy
from mmkd.data.checks.segmentation import ONE_CHANNEL, SAME_SIZE, label_fault


class Labels(NamedTuple):
    """Which labels of pixels a data set may have.

    Attributes:
        num_classes (int, optional): Number of classes, if it is known.
        ignored (tuple[int, ...]): Labels of pixels that count nowhere.
    """

    num_classes: Optional[int] = None
    ignored: Tuple[int, ...] = (255, )


def sample_files(data: Any) -> List[Tuple[str, str]]:
    """Files of a sample, the earlier scans last.

    Args:
        data (dict): A sample as a data set gives it to its pipeline.

    Returns:
        list[tuple[str, str]]: ``'image'``, ``'mask'``, ``'scan'`` or
        ``'other'``, and the path of each file.
    """

    def look(value: Any) -> Iterator[Tuple[str, str]]:
        if isinstance(value, list):
            for item in value:
                yield from look(item)
        if not isinstance(value, dict):
            return
        for key, item in value.items():
            key = str(key)
            if isinstance(item, str) and item and key.endswith('_path'):
                yield kinds.get(key, 'other'), item
            elif isinstance(item, list) and key == 'img_path':
                yield from (('image', x) for x in item)
            elif key in ('images', 'lidar_points', 'img_info') or \
                    key.startswith('CAM'):
                yield from look(item)
        yield from look(value.get('lidar_sweeps'))

    kinds = dict(img_path='image', seg_map_path='mask', lidar_path='scan')
    return list(dict.fromkeys(look(data)))


def endless_file(data: Any) -> Optional[str]:
    """Name the first file of a sample that is a named pipe or a device."""
    for _, path in sample_files(data):
        if '://' not in path and is_endless(path):
            return f'{path}: {file_fault(path)}'
    return None


def broken_file(data: Any, transform: Any) -> Optional[str]:
    """Find the file of a sample that made a transform fail; reads them.

    Args:
        data (dict): A sample as a data set gives it to its pipeline.
        transform (BaseTransform): The transform that failed.
    """
    columns = getattr(transform, 'load_dim', None)
    for kind, path in sample_files(data):
        if '://' in path:
            continue
        if kind in ('image', 'mask'):
            fault = image_fault(path)
        elif kind == 'scan':
            fault = scan_fault(path, columns)
        else:
            fault = file_fault(path)
        if fault:
            return f'{path}: {type(transform).__name__}: {fault}'
    return None


def loaded_fault(before: Set[str], results: Any, data: dict,
                 labels: Labels) -> Optional[str]:
    """Find what is wrong with what a transform has loaded.

    Args:
        before (set[str]): Keys that there were before the transform.
        results (dict): The sample after it.
        data (dict): The sample at the beginning of the pipeline.
        labels (Labels): Which labels the pixels may have.

    Returns:
        str, optional: The file and its fault.
    """
    if not isinstance(results, dict):
        return None
    image, mask = results.get('img'), results.get('gt_seg_map')
    if isinstance(image, np.ndarray) and 'img' not in before:
        fault = _image_fault(image, data)
        if fault:
            return fault
    if isinstance(mask, np.ndarray) and 'gt_seg_map' not in before:
        fault = _mask_fault(mask, results, data, labels)
        if fault:
            return f'{data.get("seg_map_path") or ""}: {fault}'
    points = getattr(results.get('points'), 'tensor', None)
    if isinstance(points, Tensor) and 'points' not in before:
        fault = _points_fault(points)
        if fault:
            path = next(
                (path for kind, path in sample_files(data) if kind == 'scan'),
                'a scan')
            return f'{path}: {fault}'
    return None


def _image_fault(image: np.ndarray, data: dict) -> Optional[str]:
    size, path = (data.get('height'), data.get('width')), data.get('img_path')
    if None in (*size, path) or image.shape[:2] == size:
        return None
    remedy = size_remedy(path) or CORRECT_SIZE
    return f'{path}: {coco.size_fault(image.shape, size)}; {remedy}'


def _mask_fault(mask: np.ndarray, results: dict, data: dict,
                labels: Labels) -> Optional[str]:
    path, image = data.get('img_path', ''), results.get('img')
    if isinstance(image, np.ndarray) and image.ndim > 3:
        return None  # a volume
    if mask.ndim == 3 and mask.shape[2] in (2, 3, 4):
        return f'has the shape {mask.shape}; {ONE_CHANNEL}'
    if isinstance(image, np.ndarray):
        # To test, mmseg resizes the image before it loads the label map.
        size = tuple(results.get('ori_shape') or image.shape)[:2]
        if mask.shape != size:
            remedy = size_remedy(path) or SAME_SIZE
            return f'{segmentation.size_fault(mask.shape, size, path)}; ' \
                   f'{remedy}'
    if labels.num_classes:
        return label_fault(mask, labels.num_classes, labels.ignored,
                           bool(data.get('reduce_zero_label')))
    return None


def _points_fault(points: Tensor) -> Optional[str]:
    if not points.isfinite().all():
        rows = int((~points.isfinite()).any(1).sum())
        return f'has {rows} of {len(points)} points that are not finite'
    part = points[:256].contiguous().numpy()
    if part.dtype == np.float32 and looks_like_text(
            part.reshape(-1).view(np.uint8)):
        return 'is a text, not the float32 numbers of points'
    return None


def packed_fault(packed: Any) -> Optional[Tuple[str, str]]:
    """Find what makes a packed sample unusable.

    Returns:
        tuple[str, str], optional: The kind of its file (see
        :func:`sample_files`), and the fault.
    """
    inputs = packed.get('inputs') if isinstance(packed, dict) else None
    for name, value in (inputs.items() if isinstance(inputs, dict) else ()):
        if isinstance(value, Tensor) and value.dim() == 2:  # a scan
            if not len(value):
                return 'scan', f'no point is left of the scan (`{name}`)'
            if not value.isfinite().all():
                return 'scan', (f'the scan (`{name}`) has points that are '
                                'not finite')
    sample = packed.get('data_samples') if isinstance(packed, dict) else None
    objects = sample.get('gt_instances_3d') if sample is not None else None
    boxes = getattr(objects, 'bboxes_3d', None)
    if boxes is not None and len(boxes):
        if not boxes.tensor.isfinite().all():
            moving = boxes.tensor[:, :7].isfinite().all()
            return 'scan', (f'a {"velocity" if moving else "3D box"} is not '
                            'finite')
        sizes = boxes.tensor[:, 3:6]
        if (sizes <= 0).any():
            size = sizes[(sizes <= 0).any(1)][0].tolist()
            return 'scan', f'a 3D box has no size ({size} metres)'
    objects = sample.get('gt_instances') if sample is not None else None
    boxes = getattr(objects, 'bboxes', None)
    boxes = getattr(boxes, 'tensor', boxes)
    if isinstance(boxes, Tensor) and not boxes.isfinite().all():
        return 'image', 'a box is not finite'
    return None
