"""Faults in annotations of COCO, as mmdet's ``CocoDataset`` reads them."""
import os.path as osp
from collections import Counter
from numbers import Real
from typing import Any, Iterator, List, Mapping, Optional, Sequence

import numpy as np

from mmkd.data.checks.files import is_local, missing_files, read_index
from mmkd.data.checks.images import (loaded_sizes, size_remedy, some_of,
                                     warn_of_turned)
from mmkd.data.checks.problems import Problem
from mmkd.utils.suggestions import did_you_mean

#: What mmdet reads of each kind of record.
_FIELDS = dict(
    images=('id', 'file_name', 'height', 'width'),
    annotations=('id', 'image_id', 'category_id', 'bbox', 'area'),
    categories=('id', 'name'))
CORRECT_SIZE = 'correct `height`, `width` and the boxes in the annotations'
_WIDTHS = '`bbox` is [x, y, width, height] in pixels'


def coco_problems(dataset: Any, transforms: Mapping[str,
                                                    dict]) -> List[Problem]:
    """Check the annotation file of a ``CocoDataset``.

    Args:
        dataset (CocoDataset): It need not have been read.
        transforms (Mapping[str, dict]): Its transforms by class name.

    Returns:
        list[Problem]: What is wrong.

    Raises:
        DataError: If the file cannot be read.
    """
    content = read_index(dataset.ann_file)
    if dataset.test_mode and isinstance(content, dict):
        content.setdefault('annotations', [])  # images alone may be enough
    found = _Annotations(dataset.ann_file,
                         content).problems(dataset.metainfo.get('classes'))
    if found or 'LoadImageFromFile' not in transforms:
        return found
    images = list(_images(dataset, content))
    return missing_files(
        images, 'check `data_root` and `data_prefix` of the data set') or list(
            _wrong_sizes(
                some_of(images), content, transforms['LoadImageFromFile']))


def _wrong_sizes(images: Sequence[tuple], content: dict,
                 options: Mapping[str, str]) -> Iterator[Problem]:
    """Compare the index file with the headers of images."""
    for path, _, entry in images:
        record = content['images'][int(entry[len('images['):-1])]
        size = record['height'], record['width']
        sizes = loaded_sizes(path, options)
        if sizes and size not in sizes:
            yield Problem(path, '', size_fault(min(sizes), size),
                          size_remedy(path) or CORRECT_SIZE)
    warn_of_turned([x[0] for x in images], options)


def size_fault(loaded: Sequence[int], annotated: Sequence[int]) -> str:
    """Say that sizes (height, width) differ."""
    return (f'has {loaded[0]} x {loaded[1]} pixels (height x width), but the '
            f'annotations say {annotated[0]} x {annotated[1]}')


def _images(dataset: Any, content: dict) -> Iterator[tuple]:
    """Path, index and record of the images that training reads."""
    folder = dataset.data_prefix.get('img') or ''
    if dataset._indices is not None or not is_local(folder):
        return
    used = None
    if not dataset.test_mode and (dataset.filter_cfg
                                  or {}).get('filter_empty_gt'):
        used = {x['image_id'] for x in content['annotations']}
    for i, image in enumerate(content['images']):
        if used is None or image['id'] in used:
            yield (osp.join(folder, image['file_name']), dataset.ann_file,
                   f'images[{i}]')


class _Annotations:
    """The content of an annotation file."""

    def __init__(self, path: str, content: Any) -> None:
        self.path = path
        self.content = content

    def problems(self, classes: Optional[Sequence[str]]) -> List[Problem]:
        """All problems; values are only looked at in complete records."""
        found = list(self._structure())
        if found:
            return found
        self.images = self.content['images']
        self.annotations = self.content['annotations']
        self.categories = self.content['categories']
        found = list(self._numbers()) or list(self._boxes())
        return [*self._ids(), *found, *self._classes(classes)]

    def _problem(self,
                 kind: str,
                 i: int,
                 what: str,
                 remedy: str = '') -> Problem:
        return Problem(self.path, f'{kind}[{i}]', what + self._where(kind, i),
                       remedy)

    def _where(self, kind: str, i: int) -> str:
        """The image of a record, in brackets."""
        record, images = self.content[kind][i], self.content.get('images')
        if not isinstance(record, dict) or not isinstance(images, list):
            return ''
        if kind == 'annotations' and 'image_id' in record:
            if not hasattr(self, '_names'):
                self._names = {
                    str(image.get('id')): image.get('file_name')
                    for image in images if isinstance(image, dict)
                }
            name = self._names.get(str(record['image_id']))
        else:
            name = record.get('file_name')
        return f' (of {name})' if name else ''

    def _structure(self) -> Iterator[Problem]:
        if not isinstance(self.content, dict):
            yield Problem(self.path, '',
                          'is not a dict, unlike annotations of COCO')
            return
        for kind, fields in _FIELDS.items():
            records = self.content.get(kind)
            if not isinstance(records, list):
                yield Problem(self.path, '', f'has no list `{kind}`')
                continue
            try:
                for record in records:
                    for field in fields:
                        record[field]
            except (TypeError, KeyError, IndexError):
                yield from self._incomplete(kind, fields)

    def _incomplete(self, kind: str,
                    fields: Sequence[str]) -> Iterator[Problem]:
        for i, record in enumerate(self.content[kind]):
            for field in fields:
                if not isinstance(record, dict) or field not in record:
                    yield self._problem(kind, i, f'has no `{field}`')
                    break

    def _ids(self) -> Iterator[Problem]:
        for kind in _FIELDS:
            records = self.content[kind]
            try:
                if len({x['id'] for x in records}) == len(records):
                    continue
                counts = Counter(x['id'] for x in records)
            except TypeError:
                yield Problem(
                    self.path, '', f'has an `id` in `{kind}` that '
                    'is neither a number nor a text')
                return
            seen = set()
            for i, record in enumerate(records):
                number = record['id']
                if counts[number] > 1 and number in seen:
                    yield self._problem(
                        kind, i, f'has the `id` {number!r}, like another one',
                        f'give each of the {kind} an id of its own')
                seen.add(number)
        for kind, key in (('images', 'image_id'), ('categories',
                                                   'category_id')):
            known = {x['id'] for x in self.content[kind]}
            for i, record in enumerate(self.annotations):
                value = record[key]
                if not isinstance(value, (Real, str)) or value not in known:
                    yield self._problem(
                        'annotations', i,
                        f'has the `{key}` {value!r}, which is not in `{kind}`',
                        f'add the missing one to `{kind}`, or remove its '
                        'annotations')

    def _numbers(self) -> Iterator[Problem]:
        for i, image in enumerate(self.images):
            if not isinstance(image['file_name'], str):
                yield self._problem(
                    'images', i,
                    f'has the `file_name` {image["file_name"]!r}, no text')
        for kind, key, count in (('images', 'height', 0), ('images', 'width',
                                                           0),
                                 ('annotations', 'bbox', 4), ('annotations',
                                                              'area', 0)):
            values = [record[key] for record in self.content[kind]]
            try:
                array = np.array(values or np.zeros((0, 4)[:1 + bool(count)]))
                good = array.dtype.kind in 'iuf' and array.ndim == 1 + bool(
                    count) and (not count or array.shape[1] == count)
            except ValueError:  # of several lengths
                good = False
            if good:
                continue
            what = f'{count} numbers' if count else 'a number'
            for i, value in enumerate(values):
                if not _is_number(value, count):
                    yield self._problem(kind, i,
                                        f'has the `{key}` {_short(value)}',
                                        f'`{key}` is {what}')

    def _boxes(self) -> Iterator[Problem]:
        sizes = np.array([(x['width'], x['height']) for x in self.images],
                         np.float64).reshape(-1, 2)
        for i in _rows(~((sizes > 0) & np.isfinite(sizes)).all(1)):
            yield self._problem(
                'images', i, 'has the width and height '
                f'{sizes[i].tolist()}', 'write the size of the file')
        if not self.annotations:
            return
        boxes = np.array([x['bbox'] for x in self.annotations], np.float64)
        finite = np.isfinite(boxes).all(1)
        for i in _rows(~finite):
            yield self._problem('annotations', i,
                                f'has the `bbox` {boxes[i].tolist()}',
                                'a box is finite: correct or remove it')
        for i in _rows(finite & (boxes[:, 2:] < 0).any(1)):
            yield self._problem(
                'annotations', i, f'has the `bbox` {boxes[i].tolist()} of '
                'negative size', _WIDTHS)
        row = {str(x['id']): i for i, x in enumerate(self.images)}
        sizes = np.append(sizes, [[np.inf, np.inf]], 0)  # of no image
        sizes = sizes[[
            row.get(str(x['image_id']), -1) for x in self.annotations
        ]]
        with np.errstate(all='ignore'):
            outside = ((boxes[:, :2] + boxes[:, 2:])
                       > 1.02 * sizes + 2).any(1) & finite
        # A few boxes past the edge are cut by mmdet.
        if outside.sum() > max(1, .5 * len(boxes)):
            i = int(outside.argmax())
            yield self._problem(
                'annotations', i, f'has the `bbox` {boxes[i].tolist()}, past '
                f'the image of {sizes[i].tolist()}, like {outside.sum()} of '
                f'{len(boxes)} boxes', _WIDTHS + ', not [x1, y1, x2, y2]')
        area = np.array([x['area'] for x in self.annotations], np.float64)
        none = ~(area > 0) & (boxes[:, 2:] >= 1).all(1)
        if none.sum() > .5 * len(boxes):
            i = int(none.argmax())
            yield self._problem(
                'annotations', i, f'has the `area` {area[i]:g}, like '
                f'{none.sum()} of {len(boxes)} annotations: mmdet drops them',
                'write the area of the box or of the mask')

    def _classes(self, classes: Optional[Sequence[str]]) -> Iterator[Problem]:
        names = [str(x['name']) for x in self.categories]
        if not classes:
            return
        missing = [name for name in classes if name not in names]
        if missing:
            hint = did_you_mean(missing[0], names)
            yield Problem(
                self.path, '`categories`',
                f'has no {", ".join(map(repr, missing[:5]))}' +
                (f' and {len(missing) - 5} more' * (len(missing) > 5)) +
                ' of the classes of the config; it has ' +
                ', '.join(map(repr, names[:10])) +
                (', ...' if names[10:] else ''), hint
                or 'set `metainfo=dict(classes=(...))` of the data set')
            return
        order = [name for name in names if name in set(classes)]
        if order != list(classes):
            yield Problem(
                self.path, '`categories`',
                'has the classes in another order than the config; mmdet '
                'numbers them as the file does',
                f'write classes={tuple(order[:12])!r}' +
                (' ...' if order[12:] else ''))


def _rows(mask: np.ndarray) -> List[int]:
    return np.flatnonzero(mask).tolist()


def _is_number(value: Any, count: int) -> bool:
    if not count:
        return isinstance(value, Real)
    return isinstance(value, (list, tuple)) and len(value) == count and all(
        isinstance(x, Real) for x in value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else text[:77] + '...'
