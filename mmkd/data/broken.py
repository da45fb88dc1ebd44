"""Error messages that name broken files of a data set."""
import json
import os.path as osp
import pickle
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional, Sequence

from mmengine.dataset import Compose
from torch import Tensor

from mmkd.errors import ConfigError, DataError, MMKDError
from mmkd.utils.arguments import with_reason


class NamingPipeline(Compose):
    """A pipeline whose errors name the files of the sample.

    Scans without points, non-finite points and boxes, and 3D boxes of zero
    size are errors as well: they would cause failures deep inside a network,
    or infinite losses.

    Args:
        transforms (Sequence): The transforms, already built.
    """

    def __init__(self, transforms: Sequence[Any]) -> None:
        self.transforms = list(transforms)

    def __call__(self, data: dict) -> Optional[dict]:
        """Transform a sample; see the base class.

        Raises:
            DataError: If the sample cannot be loaded or used.
        """
        results = data
        for transform in self.transforms:
            try:
                results = transform(results)
            except MMKDError:
                raise
            except Exception as error:
                raise DataError(
                    with_reason(
                        f'{files_of(data)}: {type(transform).__name__}',
                        error)) from error
            if results is None:
                return None
        problem = _problem(results)
        if problem:
            raise DataError(f'{files_of(data)}: {problem}')
        return results


def name_files(dataset: Any) -> None:
    """Make the errors of a data set, or of those that it wraps, name files.

    Args:
        dataset (Dataset): A data set of mmengine; changed in place.
    """
    pipeline = getattr(dataset, 'pipeline', None)
    if type(pipeline).__name__ == 'Compose':
        dataset.pipeline = NamingPipeline(pipeline.transforms)
    for part in [
            getattr(dataset, 'dataset', None),
            *(getattr(dataset, 'datasets', None) or [])
    ]:
        if part is not None:
            name_files(part)


def files_of(data: Any) -> str:
    """Text that lists the files of a sample."""
    found: List[str] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, str) and item and key.endswith('_path'):
                    found.append(item)
                elif key in ('images', 'lidar_points', 'img_info'):
                    look(item)
                elif isinstance(key, str) and key.startswith('CAM'):
                    look(item)

    look(data)
    found = list(dict.fromkeys(found))
    names = ', '.join(found[:3]) + (', ...' if len(found) > 3 else '')
    for key in ('sample_idx', 'img_id'):
        if not names and isinstance(data, dict) and key in data:
            names = f'sample {data[key]}'
    return names or 'a sample'


def _problem(packed: Any) -> Optional[str]:
    """The problem that makes a packed sample unusable, or None."""
    inputs = packed.get('inputs') if isinstance(packed, dict) else None
    for name, value in (inputs.items() if isinstance(inputs, dict) else ()):
        if isinstance(value, Tensor) and value.dim() == 2:  # a scan
            if not len(value):
                return f'no point is left of the scan (`{name}`)'
            if not value.isfinite().all():
                return f'the scan (`{name}`) has points that are not finite'
    sample = packed.get('data_samples') if isinstance(packed, dict) else None
    objects = sample.get('gt_instances_3d') if sample is not None else None
    boxes = getattr(objects, 'bboxes_3d', None)
    if boxes is not None and len(boxes):
        boxes = boxes.tensor[:, :7]
        if not boxes.isfinite().all():
            return 'a 3D box is not finite'
        if (boxes[:, 3:6] <= 0).any():
            sizes = boxes[(boxes[:, 3:6] <= 0).any(1)][0, 3:6].tolist()
            return f'a 3D box has no size ({sizes} metres)'
    objects = sample.get('gt_instances') if sample is not None else None
    boxes = getattr(objects, 'bboxes', None)
    boxes = getattr(boxes, 'tensor', boxes)
    if isinstance(boxes, Tensor) and not boxes.isfinite().all():
        return 'a box is not finite'
    return None


@contextmanager
def annotation_errors(cfg: Any) -> Iterator[None]:
    """Context for building a data set; errors name the annotations.

    Only if building fails, the annotations are searched for the first
    incomplete record.

    Args:
        cfg (dict): Config of the data set, possibly with nested ones.

    Raises:
        ConfigError: If a setting is wrong.
        DataError: If a file is broken.
    """
    try:
        yield
    except MMKDError:
        raise
    except Exception as error:
        for path in _annotation_files(cfg):
            problem = _first_problem(path)
            if problem:
                raise DataError(f'{path}: {problem}') from error
        raise ConfigError(with_reason(_in_words(cfg), error)) from error


def _configs(cfg: Any) -> Iterator[dict]:
    """Config of a data set and its nested configs."""
    if not isinstance(cfg, dict):
        return
    yield cfg
    parts = cfg.get('datasets') or []
    for part in [cfg.get('dataset'), *parts]:
        yield from _configs(part)


def _in_words(cfg: Any) -> str:
    inner = list(_configs(cfg))
    if not inner:
        return 'the data loader'
    return ', '.join([f'the data set {inner[-1].get("type")}'] + [
        f'{key}={inner[-1][key]!r}'
        for key in ('data_root', 'ann_file') if inner[-1].get(key)
    ])


def _annotation_files(cfg: Any) -> Iterator[str]:
    for inner in _configs(cfg):
        file = inner.get('ann_file')
        if isinstance(file, str) and file:
            yield osp.join(inner.get('data_root') or '', file)


def _first_problem(path: str) -> Optional[str]:
    """The first problem in an annotation file, or None."""
    if not osp.isfile(path):
        return 'there is no such file'
    try:
        if path.endswith('.json'):
            with open(path, encoding='utf-8') as file:
                return _coco_problem(json.load(file))
        if path.endswith('.pkl'):
            with open(path, 'rb') as file:
                return _infos_problem(pickle.load(file))
    except Exception as error:
        return f'cannot be read ({type(error).__name__}: {str(error)[:120]})'
    return None


#: What mmdet's `CocoDataset` reads of each kind of record.
_COCO_FIELDS = dict(
    images=('id', 'file_name', 'height', 'width'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
    categories=('id', 'name'))


def _coco_problem(content: Any) -> Optional[str]:
    if not isinstance(content, dict):
        return 'is not a dict, unlike annotations of COCO'
    for kind, fields in _COCO_FIELDS.items():
        records = content.get(kind)
        if not isinstance(records, list):
            return f'has no list `{kind}`'
        for i, record in enumerate(records):
            for field in fields:
                if not isinstance(record, dict) or field not in record:
                    return (f'{kind}[{i}] has no `{field}`' +
                            _where(record, content['images']))
    names = {image['id'] for image in content['images']}
    for i, record in enumerate(content['annotations']):
        if record['image_id'] not in names:
            return (f'annotations[{i}] belongs to image '
                    f'{record["image_id"]!r}, which is not in `images`')
        box = record['bbox']
        if not isinstance(box, list) or len(box) != 4 or not all(
                isinstance(x, (int, float)) for x in box):
            return (f'annotations[{i}] has the `bbox` {box!r}' +
                    _where(record, content['images']))
    return None


def _where(record: Any, images: List[dict]) -> str:
    """The image of a record, in brackets."""
    if not isinstance(record, dict):
        return ''
    for image in images:
        if isinstance(image, dict) and image.get('id') == record.get(
                'image_id', object()):
            return f' (of {image.get("file_name")})'
    name = record.get('file_name')
    return f' (of {name})' if name else ''


def _infos_problem(content: Any) -> Optional[str]:
    """The first problem in an index file of mmdet3d."""
    if not isinstance(content, dict) or not isinstance(
            content.get('data_list'), list):
        return 'has no list `data_list`, as index files of mmdet3d have'
    if not isinstance(content.get('metainfo'), dict):
        return 'has no `metainfo`'
    for i, info in enumerate(content['data_list']):
        if not isinstance(info, dict):
            return f'data_list[{i}] is not a dict'
        name = f'data_list[{i}] (sample {info.get("sample_idx")})'
        sensors: Dict[str, str] = dict(
            lidar_points='lidar_path', images='img_path')
        if not any(key in info for key in sensors):
            return f'{name} has neither `lidar_points` nor `images`'
        points = info.get('lidar_points')
        if points is not None and 'lidar_path' not in points:
            return f'{name} has no `lidar_points.lidar_path`'
        for camera, image in (info.get('images') or {}).items():
            # KITTI also stores matrices of the rig here.
            if isinstance(image, dict) and 'img_path' not in image:
                return f'{name} has no `images.{camera}.img_path`'
        instances = info.get('instances') or []
        for j, instance in enumerate(instances):
            # mmdet3d reads the fields of the first instance from all of them.
            for field in ('bbox_label_3d', 'bbox_3d', *instances[0]):
                if field not in instance:
                    return f'{name}: instances[{j}] has no `{field}`'
    return None
