"""A fixed number of random versions of each sample, which recur."""
import hashlib
import random
from contextlib import contextmanager
from typing import Any, Iterator, List, Mapping, Optional, Tuple, Union

import numpy as np
import torch

from mmkd.core.teacher import Teacher
from mmkd.errors import ConfigError
from mmkd.utils.data import DatasetWrapper
from mmkd.utils.rng import random_state, set_random_state

#: A sample and its view.
View = Tuple[int, int]


def views_of(teachers: Mapping[str, Teacher]) -> Optional[int]:
    """Number of views that the caches of teachers ask for.

    Args:
        teachers (Mapping[str, Teacher]): The teachers by name.

    Raises:
        ConfigError: If they ask for different numbers.
    """
    found = {
        name: teacher.cache.options.views
        for name, teacher in teachers.items() if teacher.cache is not None
    }
    if len(set(found.values())) > 1:
        raise ConfigError('teachers see the same samples, so that `views` of '
                          'their caches must be equal: ' +
                          ', '.join(f'{name} has {views}'
                                    for name, views in found.items()))
    return next(iter(found.values()), None)


class ViewDataset(DatasetWrapper):
    """A data set whose item ``(i, v)`` is sample ``i`` in its view ``v``.

    The random numbers of the transforms come from the seed, ``i`` and ``v``
    alone, and the generators of the process are restored. An item ``i`` is
    that of the data set itself.

    Args:
        dataset (Dataset): The data set.
        seed (int): Seed of the run.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        super().__init__(dataset, seed=seed)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, tuple):
            return self.dataset[index]
        with _seeded(self.seed, *index):
            return self.dataset[index[0]]


@contextmanager
def _seeded(*numbers: int) -> Iterator[None]:
    """Context in which all generators are seeded by numbers."""
    digest = hashlib.sha256(' '.join(map(str, numbers)).encode()).digest()
    before = random_state(devices=False)
    try:
        random.seed(digest)
        np.random.seed(np.frombuffer(digest, np.uint32))
        # Not `torch.manual_seed`, which seeds the GPUs as well.
        torch.default_generator.manual_seed(
            int.from_bytes(digest[:8], 'little'))
        yield
    finally:
        set_random_state(before)


class ViewBatchSampler:
    """Adds the view to each index of a batch sampler.

    Sample ``i`` has the view ``(pass + i) % views`` in each pass over the
    data. Samplers without end count a pass for every ``size`` indices.
    Indices from ``size`` on, of unlabelled images
    (:class:`~mmkd.data.mixed.MixedDataset`), stay as they are.

    Args:
        batch_sampler (Iterable[list[int]]): Gives the indices of each batch.
        views (int): Number of views.
        size (int): Number of samples.
    """

    def __init__(self, batch_sampler: Any, views: int, size: int) -> None:
        self.batch_sampler = batch_sampler
        self.views, self.size = views, size

    def __getattr__(self, name: str) -> Any:
        if name == 'batch_sampler':  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[List[Union[int, View]]]:
        sampler = getattr(self.batch_sampler, 'sampler', None)
        epoch = getattr(sampler, 'epoch', None)
        processes = getattr(sampler, 'world_size', 1)
        position = getattr(sampler, 'rank', 0)
        for batch in self.batch_sampler:
            views: List[Union[int, View]] = []
            for index in batch:
                if index >= self.size:
                    views.append(index)
                    continue
                number = position // self.size if epoch is None else epoch
                views.append((index, (number + index) % self.views))
                position += processes
            yield views
