"""Error messages that name broken files of a data set."""
import os.path as osp
from contextlib import contextmanager
from typing import Any, Iterator, List, Optional, Sequence

from mmengine.dataset import Compose

from mmkd.data.checks import Problem, check_dataset, raise_problems
from mmkd.data.checks.datasets import parts_of
from mmkd.data.checks.files import file_fault, is_endless, is_local, read_index
from mmkd.data.checks.samples import (Labels, broken_file, endless_file,
                                      loaded_fault, packed_fault, sample_files)
from mmkd.errors import ConfigError, DataError, MMKDError
from mmkd.utils.arguments import with_reason
from mmkd.utils.rng import preserve_rng


class NamingPipeline(Compose):
    """A pipeline whose errors name the broken file of the sample.

    Some faults would cause failures deep inside a network, infinite losses,
    or training on nonsense, and are errors as well: images and label maps of
    another size than annotated, labels of no class, scans without points or
    with text, values that are not finite, and 3D boxes of zero size.

    Args:
        transforms (Sequence): The transforms, already built.
        labels (Labels): Which labels the pixels may have.
    """

    def __init__(self, transforms: Sequence[Any],
                 labels: Labels = Labels()) -> None:
        self.transforms = list(transforms)
        self.labels = labels

    def __call__(self, data: dict) -> Optional[dict]:
        """Transform a sample; see the base class.

        Raises:
            DataError: If the sample cannot be loaded or used.
        """
        fault = endless_file(data)
        if fault:
            raise DataError(fault)
        # Transforms may change the sample itself.
        given = dict(data) if isinstance(data, dict) else {}
        results = data
        for transform in self.transforms:
            before = set(results) if isinstance(results, dict) else set()
            try:
                results = transform(results)
            except MMKDError:
                raise
            except Exception as error:
                raise DataError(
                    broken_file(given, transform) or with_reason(
                        f'{_files_for(given, transform)}: '
                        f'{type(transform).__name__}', error)) from error
            if results is None:
                return None
            fault = loaded_fault(before, results, given, self.labels)
            if fault:
                raise DataError(fault)
        problem = packed_fault(results)
        if problem:
            kind, fault = problem
            raise DataError(f'{files_of(given, kind)}: {fault}')
        return results


def name_files(dataset: Any, num_classes: Optional[int] = None) -> None:
    """Make the errors of a data set, or of those that it wraps, name files.

    Args:
        dataset (Dataset): A data set of mmengine; changed in place.
        num_classes (int, optional): Number of classes of the segmentation
            head. Defaults to None: as many as the data set has.
    """
    for part in parts_of(dataset):
        pipeline = getattr(part, 'pipeline', None)
        if type(pipeline).__name__ not in ('Compose', 'NamingPipeline'):
            continue
        classes = getattr(part, 'metainfo', {}).get('classes') or ()
        ignored = {255, getattr(part, 'ignore_index', 255)}
        labels = Labels(
            num_classes or len(classes) or None, tuple(sorted(ignored)))
        part.pipeline = NamingPipeline(pipeline.transforms, labels)


def read_samples(dataset: Any,
                 num_classes: Optional[int] = None,
                 limit: int = 200) -> List[Problem]:
    """Find what is wrong with samples, by reading some as training does.

    Args:
        dataset (Dataset): A data set of mmengine; :func:`name_files` changes
            it in place.
        num_classes (int, optional): Number of classes of the segmentation
            head. Defaults to None: as many as the data set has.
        limit (int): Number of samples, evenly spaced. Defaults to 200.

    Returns:
        list[Problem]: What is wrong.
    """
    name_files(dataset, num_classes)
    count = len(dataset)
    found = []
    with preserve_rng():
        for i in range(0, count, -(-count // limit) or 1):
            try:
                dataset[i]
            except DataError as error:
                file, _, fault = str(error).partition(': ')
                found.append(Problem(file, '', fault))
    return found


def files_of(data: Any, kind: str = '') -> str:
    """Text that lists the files of a sample.

    Args:
        data (dict): The sample.
        kind (str): Only files of this kind (:func:`~mmkd.data.checks.samples
            .sample_files`), if there are any. Defaults to '': all.
    """
    files = sample_files(data)
    found = [path for each, path in files if each == kind
             ] or [path for _, path in files]
    if kind == 'scan':
        found = found[:1]  # the others are earlier scans
    names = ', '.join(found[:3]) + (', ...' if len(found) > 3 else '')
    for key in ('sample_idx', 'img_id'):
        if not names and isinstance(data, dict) and key in data:
            names = f'sample {data[key]}'
    return names or 'a sample'


def _files_for(data: Any, transform: Any) -> str:
    """The files that a transform may have read."""
    name = type(transform).__name__
    for kind, word in (('scan', 'Point'), ('image', 'Image')):
        if word in name:
            return files_of(data, kind)
    return files_of(data)


@contextmanager
def annotation_errors(cfg: Any) -> Iterator[None]:
    """Context for building a data set; errors name the annotations.

    The annotations are searched for what is wrong only if building fails.

    Args:
        cfg (dict): Config of the data set, possibly with nested ones.

    Raises:
        ConfigError: If a setting is wrong.
        DataError: If a file is broken.
    """
    parts = [part for part in parts_of(cfg) if isinstance(part, dict)]
    for path in map(_annotation_file, parts):
        if path and is_endless(path):
            raise DataError(f'{path}: {file_fault(path)}')
    try:
        yield
    except MMKDError:
        raise
    except Exception as error:
        raise_problems(check_dataset(cfg))
        for path in filter(None, map(_annotation_file, parts)):
            if path.endswith(('.json', '.pkl')):
                read_index(path)
        raise ConfigError(with_reason(_in_words(parts), error)) from error


def _in_words(parts: Sequence[dict]) -> str:
    if not parts:
        return 'the data loader'
    return ', '.join([f'the data set {parts[-1].get("type")}'] + [
        f'{key}={parts[-1][key]!r}'
        for key in ('data_root', 'ann_file') if parts[-1].get(key)
    ])


def _annotation_file(cfg: dict) -> Optional[str]:
    file = cfg.get('ann_file')
    if not isinstance(file, str) or not file or \
            not is_local(file, cfg.get('backend_args')):
        return None
    return osp.join(cfg.get('data_root') or '', file)
