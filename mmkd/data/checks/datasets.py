"""Which check is for which data set."""
from typing import Any, Dict, Iterable, Iterator, List, Optional

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmengine.registry import DATASETS

from mmkd.data.checks.coco import coco_problems
from mmkd.data.checks.files import file_fault, is_endless, is_local
from mmkd.data.checks.infos import infos_problems
from mmkd.data.checks.problems import Problem
from mmkd.data.checks.segmentation import segmentation_problems
from mmkd.errors import DataError
from mmkd.utils.arguments import with_reason


def check_datasets(datasets: Iterable[Any]) -> List[Problem]:
    """Check several data sets; see :func:`check_dataset`."""
    return [x for dataset in datasets for x in check_dataset(dataset)]


def check_dataset(dataset: Any) -> List[Problem]:
    """Find what is wrong with a data set, in one pass over its index files.

    These are known: ``BaseSegDataset``, ``CocoDataset``, ``KittiDataset`` and
    ``NuScenesDataset``, their subclasses that read files in the same way, and
    wrappers around them. Nothing is said of others. Images, label maps and
    scans are not decoded.

    Args:
        dataset (Dataset | dict): A data set of mmengine or its config, which
            may hold others.

    Returns:
        list[Problem]: What is wrong, in the order of the files.
    """
    found: List[Problem] = []
    for part in parts_of(dataset):
        built = _unread(part)
        if built is None:
            continue
        try:
            found += _problems(built, part)
        except DataError as error:
            found.append(_as_problem(str(error), built.ann_file))
        except Exception as error:
            print_log(
                with_reason(
                    f'{built.ann_file or built.data_prefix} was not checked',
                    error), 'current', 30)
    return found


def parts_of(dataset: Any) -> Iterator[Any]:
    """A data set or its config, and all inside of it."""
    get = dataset.get if isinstance(dataset, dict) else \
        lambda key: getattr(dataset, key, None)
    inner = [get('dataset'), *(get('datasets') or []), get('unlabelled')]
    inner = [x for x in inner if x is not None]
    if not inner and dataset is not None:
        yield dataset
    for part in inner:
        yield from parts_of(part)


def _unread(part: Any) -> Optional[BaseDataset]:
    """A data set that knows its files and classes, but has not read them."""
    if isinstance(part, BaseDataset):
        return part
    if not isinstance(part, dict) or 'type' not in part:
        return None
    try:
        built = DATASETS.build(dict(part, pipeline=[], lazy_init=True))
    except Exception:
        return None  # building it fails later, with an error of its own
    return built if isinstance(built, BaseDataset) else None


def _as_problem(message: str, file: str) -> Problem:
    """The problem of an index file that cannot be read."""
    start = f'{file}: '
    what = message[len(start):] if message.startswith(start) else message
    return Problem(
        file, '', what,
        'check `ann_file` and `data_root`' * ('no such file' in what))


def _problems(dataset: BaseDataset, part: Any) -> List[Problem]:
    reads = _defined_by(dataset, 'load_data_list')
    parses = _defined_by(dataset, 'parse_data_info')
    transforms = _transforms(part)
    if reads == 'BaseSegDataset':
        return segmentation_problems(dataset, transforms)
    if not is_local(dataset.ann_file, getattr(dataset, 'backend_args', None)):
        return []
    if reads == parses == 'CocoDataset':
        return coco_problems(dataset, transforms)
    if reads == 'BaseDataset' and parses in ('Det3DDataset', 'KittiDataset',
                                             'NuScenesDataset'):
        return infos_problems(dataset, transforms)
    if dataset.ann_file and is_endless(dataset.ann_file):
        return [
            Problem(dataset.ann_file, '',
                    file_fault(dataset.ann_file) or '')
        ]
    return []


def _defined_by(dataset: Any, method: str) -> str:
    """Name of the class whose method a data set uses."""
    return getattr(type(dataset), method).__qualname__.split('.')[0]


def _transforms(part: Any) -> Dict[str, dict]:
    """Arguments of the transforms, by class name; the first of a name."""
    if isinstance(part, dict):
        given = [(cfg['type'], cfg) if isinstance(cfg, dict) else
                 (type(cfg), vars(cfg)) for cfg in part.get('pipeline') or []]
    else:
        given = [(type(transform), vars(transform))
                 for transform in getattr(part.pipeline, 'transforms', [])]
    return {
        str(getattr(kind, '__name__', kind)).split('.')[-1]: options
        for kind, options in reversed(given)
    }
