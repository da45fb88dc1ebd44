"""Faults in pairs of images and label maps, as mmseg reads them."""
import os
import os.path as osp
from collections import Counter
from typing import Any, List, Mapping, Optional, Sequence

import numpy as np
from PIL import Image

from mmkd.data.checks.files import file_fault, is_local, missing_files
from mmkd.data.checks.images import (loaded_sizes, size_remedy, some_of,
                                     warn_of_turned)
from mmkd.data.checks.problems import Problem

ONE_CHANNEL = ('a label map has the number of the class of each pixel, in one '
               'channel of 8 bits; convert colours to numbers')
SAME_SIZE = 'a label map has the size of its image'


def segmentation_problems(dataset: Any,
                          transforms: Mapping[str, dict]) -> List[Problem]:
    """Check the files of a ``BaseSegDataset``, and the headers of some.

    Args:
        dataset (BaseSegDataset): It need not have been read.
        transforms (Mapping[str, dict]): Its transforms by class name.

    Returns:
        list[Problem]: What is wrong.
    """
    folder = dataset.data_prefix.get('img_path') or ''
    if not is_local(folder, dataset.backend_args):
        return []
    index = dataset.ann_file
    if index and not osp.isdir(index):
        fault = file_fault(index)
        if fault:
            return [Problem(index, '', fault, 'check `ann_file`')]
    elif not osp.isdir(folder):
        what = 'is no folder' if osp.exists(folder) else \
            'there is no such folder'
        return [
            Problem(folder, '', what,
                    'check `data_root` and `data_prefix.img_path`')
        ]
    records = dataset.load_data_list()
    if not records:
        return [_nothing_found(dataset, folder)]
    if dataset._indices is not None:
        return []
    masks = any('LoadAnnotations' in name for name in transforms) and bool(
        dataset.data_prefix.get('seg_map_path'))
    found = missing_files(
        ((x['img_path'], index, '') for x in records),
        'check `data_prefix.img_path`, `img_suffix` and `ann_file`')
    if masks:
        found += missing_files(
            ((x['seg_map_path'], '', '') for x in records),
            'each image needs a label map: check `data_prefix.seg_map_path` '
            'and `seg_map_suffix`')
    if found or not masks or 'LoadImageFromFile' not in transforms:
        return found
    options = transforms['LoadImageFromFile']
    records = some_of(records)
    for record in records:
        problem = _pair_problem(record['img_path'], record['seg_map_path'],
                                options)
        found += [problem] if problem else []
    warn_of_turned([x['img_path'] for x in records], options)
    return found


def _nothing_found(dataset: Any, folder: str) -> Problem:
    if dataset.ann_file and osp.isfile(dataset.ann_file):
        return Problem(dataset.ann_file, '', 'names no image')
    suffixes = Counter(
        osp.splitext(name)[1] for _, _, names in os.walk(folder)
        for name in names)
    there = ', '.join(f'{n} {suffix or "without suffix"}'
                      for suffix, n in suffixes.most_common(3))
    return Problem(
        folder, '', f'has no file that ends with {dataset.img_suffix!r} (it '
        f'has {there or "no file"})', 'check `img_suffix` and `data_prefix`')


def _pair_problem(image: str, mask: str,
                  options: Mapping[str, str]) -> Optional[Problem]:
    """Compare the headers of an image and its label map."""
    try:
        with Image.open(mask) as opened:
            size, mode = opened.size[::-1], opened.mode
    except Exception:
        return None  # of a format that Pillow does not know, or broken
    if mode not in ('L', 'P', '1'):
        return Problem(mask, '', f'has pixels of the mode {mode}', ONE_CHANNEL)
    sizes = loaded_sizes(image, options)
    if not sizes or size in sizes:
        return None
    return Problem(mask, '', size_fault(size, min(sizes), image),
                   size_remedy(image) or SAME_SIZE)


def size_fault(mask: Sequence[int], image: Sequence[int], path: str) -> str:
    """Say that sizes differ.

    Args:
        mask (Sequence[int]): Height and width of the label map.
        image (Sequence[int]): Those of the image, as it is loaded.
        path (str): The image.
    """
    return (f'has {mask[0]} x {mask[1]} pixels (height x width), but its '
            f'image {path} has {image[0]} x {image[1]}')


def label_fault(labels: np.ndarray, num_classes: int, ignored: Sequence[int],
                reduced: bool) -> Optional[str]:
    """Find labels of no class.

    Args:
        labels (np.ndarray): Label map as it is used in training, uint8, any
            shape.
        num_classes (int): Number of classes.
        ignored (Sequence[int]): Labels of pixels that count nowhere.
        reduced (bool): Whether 1 was subtracted (``reduce_zero_label``).

    Returns:
        str, optional: The labels, and what they may mean.
    """
    if num_classes > labels.max(initial=0):
        return None
    wrong = np.setdiff1d(labels[labels >= num_classes], ignored)
    if not len(wrong):
        return None
    names = ', '.join(map(
        str, wrong[:5].tolist())) + ', ...' * bool(len(wrong) > 5)
    text = (f'has the label{"s" * (len(wrong) > 1)} {names}' +
            ' (after `reduce_zero_label`)' * reduced +
            f', but there are {num_classes} classes, 0 to {num_classes - 1}'
            f', and {" and ".join(map(str, ignored))} for ignored pixels')
    if not reduced and wrong.tolist() == [num_classes] and 0 not in labels:
        return (f'{text}; if 0 means no class, set `reduce_zero_label=True` '
                'in the data set and in LoadAnnotations')
    return (f'{text}; correct the label map, the classes of the data set or '
            '`num_classes` of the head')
