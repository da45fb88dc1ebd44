"""What a cache will give a run, found out before training."""
import random
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

import numpy as np
import torch

from mmkd.core.cache.teacher_cache import TeacherCache
from mmkd.engine.cache.views import ViewDataset
from mmkd.engine.resume.memory import transforms_of
from mmkd.errors import ConfigError
from mmkd.utils.data import own_pipeline
from mmkd.utils.rng import preserve_rng

#: Samples that are read twice.
SAMPLES = 64
#: Samples whose transforms are watched for random numbers.
_WATCHED = 8


@dataclass
class Outlook:
    """What to expect of a teacher's cache.

    Attributes:
        samples (int): Number of samples that were read, twice each.
        hit_rate (float): Share of those whose inputs came again in the second
            reading, or are stored.
        stored (float): Share whose inputs are stored now.
        views (int): Number of different inputs that each sample seems to
            have.
        record_bytes (float): Mean size of a record.
        gigabytes (float): Size of all records of the training data.
    """
    samples: int
    hit_rate: float
    stored: float
    views: int
    record_bytes: float
    gigabytes: float

    def __str__(self) -> str:
        return (f'{self.hit_rate:.0%} of {self.samples} samples came again '
                f'when they were read twice, {self.stored:.0%} are stored; '
                f'about {self.views} view(s) of each, '
                f'{self.record_bytes / 1e6:.2g} MB an entry, '
                f'{self.gigabytes:.3g} GB in all')


def outlook(caches: Dict[str, TeacherCache],
            loader: Any) -> Dict[str, Outlook]:
    """Read some training samples twice, and let teachers run on one of them.

    The data set and the generators stay as they are.

    Args:
        caches (dict[str, TeacherCache]): Caches of teachers by name.
        loader (DataLoader): The loader of the training.

    Returns:
        dict[str, Outlook]: What to expect, by the name of the teacher.

    Raises:
        ConfigError: If no input comes twice, or a teacher computes something
            else each time.
    """
    count = len(loader.dataset)
    numbers = list(range(0, count, -(-count // SAMPLES) or 1))
    with preserve_rng():
        first = _read(caches, loader, numbers)
        # The other way round, in case a transform remembers samples.
        second = _read(caches, loader, numbers[::-1])
        return {
            name:
            _judge(name, cache, first[name], second[name], loader.dataset,
                   numbers)
            for name, cache in caches.items()
        }


class _Reading:
    """Inputs of a teacher, for some samples.

    Attributes:
        keys (list[bytes]): Their keys.
        pixels (list[float]): Number of pixels of each; 0 for no image.
        sample (dict): The first of them.
    """

    def __init__(self) -> None:
        self.keys: List[bytes] = []
        self.pixels: List[float] = []
        self.sample: Dict[str, Any] = {}


def _read(caches: Dict[str, TeacherCache], loader: Any,
          numbers: List[int]) -> Dict[str, _Reading]:
    dataset = own_pipeline(loader.dataset)
    found = {name: _Reading() for name in caches}
    for number in numbers:
        item = (number, 0) if isinstance(dataset, ViewDataset) else number
        data = loader.collate_fn([dataset[item]])
        for name, cache in caches.items():
            frames = cache.frames(data)
            reading = found[name]
            reading.keys += frames.keys
            reading.pixels.append(cache.pixels(frames))
            reading.sample = reading.sample or frames.samples[0]
    return found


def _judge(name: str, cache: TeacherCache, first: _Reading, second: _Reading,
           dataset: Any, numbers: List[int]) -> Outlook:
    store = cache.store
    both = first.keys + second.keys
    rate = sum(key in first.keys or key in store
               for key in second.keys) / len(second.keys)
    if not rate:
        raise ConfigError(_never(name, dataset, numbers))
    record = cache.compute(first.sample)
    cache.check_equal(record, cache.compute(first.sample))
    size = float(sum(sum(part.layout.sizes) for part in record))
    if first.pixels[0]:
        size *= sum(first.pixels) / len(first.pixels) / first.pixels[0]
    views = cache.options.views or max(1, round(1 / rate))
    return Outlook(
        len(numbers), rate,
        sum(key in store for key in both) / len(both), views, size,
        size * views * len(dataset) / 1e9)


def _never(name: str, dataset: Any, numbers: List[int]) -> str:
    drawing = drawing_transforms(dataset, numbers[:_WATCHED])
    which = ', '.join(drawing) or 'what a transform remembers'
    way_out = 'give them up' if isinstance(dataset, ViewDataset) else \
        'give the cache `views=8`, or give them up'
    return (f'teacher {name!r}: its cache would never hit, as no input came '
            f'again when {len(numbers)} samples were read twice; random '
            f'transforms: {which}; {way_out}')


def drawing_transforms(dataset: Any, numbers: List[int]) -> List[str]:
    """Class names of the transforms that draw random numbers.

    Args:
        dataset (Dataset): The data set; it stays as it is.
        numbers (list[int]): The samples to watch.
    """
    dataset = own_pipeline(dataset)
    found: Dict[str, None] = {}
    _watch(dataset, found)
    with preserve_rng():
        for number in numbers:
            dataset[number]
    return list(found)


def _watch(dataset: Any, found: Dict[str, None]) -> None:
    pipeline = getattr(dataset, 'pipeline', None)
    if pipeline is not None:
        watched = [_Watched(x, found) for x in transforms_of(_Only(pipeline))]
        if hasattr(pipeline, 'transforms'):
            pipeline.transforms = watched
        else:
            dataset.pipeline = watched
    for part in (getattr(dataset, 'dataset',
                         None), *(getattr(dataset, 'datasets', None) or ())):
        if part is not None:
            _watch(part, found)


class _Only:
    """A data set that has nothing but a pipeline."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline


class _Watched:
    """A transform that notes its name if it draws random numbers."""

    def __init__(self, transform: Any, found: Dict[str, None]) -> None:
        self.transform, self.found = transform, found

    def __call__(self, *args: Any) -> Any:
        before = _generators()
        result = self.transform(*args)
        if _generators() != before:
            self.found[type(self.transform).__name__] = None
        return result

    def __getattr__(self, name: str) -> Any:  # `get_indexes` of mmdet
        return getattr(self.transform, name)


def _generators() -> Tuple[Any, ...]:
    """The state of all generators, to compare."""
    _, keys, *position = np.random.get_state()  # type: ignore[misc]
    return (random.getstate(), keys.tobytes(), position,
            torch.get_rng_state().numpy().tobytes())
