"""Labelled and unlabelled images in one data loader."""
from itertools import islice
from typing import Any, Dict, Iterator, List, Optional

import mmengine.registry
from mmengine.dataset import InfiniteSampler
from mmengine.dist import sync_random_seed
from torch.utils.data import BatchSampler

from mmkd.errors import ConfigError
from mmkd.registry import DATA_SAMPLERS, DATASETS
from mmkd.utils.data import DatasetWrapper


@DATASETS.register_module()
class MixedDataset(DatasetWrapper):
    """A labelled data set, with unlabelled images behind its end.

    Samplers and hooks see the labelled part alone. Indices from its length on
    are the unlabelled images, which :class:`MixedBatchSampler` adds.

    Args:
        dataset (dict | Dataset): The labelled data set.
        unlabelled (dict | Dataset): The unlabelled images, such as an
            :class:`~mmkd.data.image_folder.ImageFolder`.
    """

    def __init__(self, dataset: Any, unlabelled: Any) -> None:
        super().__init__(_built(dataset), unlabelled=_built(unlabelled))

    def __getitem__(self, index: int) -> Any:
        count = len(self)
        return self.dataset[index] if index < count else \
            self.unlabelled[index - count]


@DATA_SAMPLERS.register_module()
class MixedBatchSampler:
    """Batches of labelled samples, each followed by unlabelled images.

    The labelled samples come as they would alone. The unlabelled ones are
    drawn in random passes by a generator of their own. They follow from the
    seed, the epoch and the batch, so that a run resumes exactly.

    Args:
        sampler (Sampler): Of the labelled part of a :class:`MixedDataset`.
        batch_size (int): Labelled samples of a batch.
        ratio (float): Unlabelled images for each of these, rounded to at
            least one in a batch. Defaults to 1.
        batch_sampler (dict, optional): Makes the batches of labelled samples.
            Defaults to None: torch's ``BatchSampler``.
        drop_last (bool): Whether it leaves out a smaller last batch. Defaults
            to False.

    Raises:
        ConfigError: If the ratio is no positive number.
    """

    def __init__(self,
                 sampler: Any,
                 batch_size: int,
                 ratio: float = 1.,
                 batch_sampler: Optional[Dict[str, Any]] = None,
                 drop_last: bool = False) -> None:
        check_ratio(ratio)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.count = max(1, round(batch_size * ratio))
        self.labelled = mmengine.registry.DATA_SAMPLERS.build(
            batch_sampler,
            default_args=dict(
                sampler=sampler,
                batch_size=batch_size)) if batch_sampler else BatchSampler(
                    sampler, batch_size, drop_last)
        seed = getattr(sampler, 'seed', None)
        self.seed = sync_random_seed() if seed is None else seed

    def __len__(self) -> int:
        return len(self.labelled)

    def __iter__(self) -> Iterator[List[int]]:
        dataset = self.sampler.dataset
        epoch = getattr(self.sampler, 'epoch', 0)
        used = epoch and epoch * len(self) * self.count
        images = islice(
            InfiniteSampler(dataset.unlabelled, seed=self.seed), used, None)
        for batch in self.labelled:
            yield [
                *batch, *(len(dataset) + i for i in islice(images, self.count))
            ]


@DATA_SAMPLERS.register_module()
class LastPhaseBatchSampler(BatchSampler):
    """Batches of one part of a :class:`MixedDataset`; in the last epochs, of
    the other one, which are smaller.

    Args:
        sampler (Sampler): Of the first part; both have as many samples.
        batch_size (int): Samples of a batch.
        begin (int): Number of the first epoch, from 0, of the last phase.
        count (int): Samples of its batches, at most ``batch_size``.
        drop_last (bool): Whether to leave out a smaller last batch. Defaults
            to True.
    """

    def __init__(self,
                 sampler: Any,
                 batch_size: int,
                 begin: int,
                 count: int,
                 drop_last: bool = True) -> None:
        super().__init__(sampler, batch_size, drop_last)
        self.begin, self.count = begin, count

    def __iter__(self) -> Iterator[List[int]]:
        sampler: Any = self.sampler
        late = sampler.epoch >= self.begin
        for batch in super().__iter__():
            yield [len(sampler.dataset) + i
                   for i in batch[:self.count]] if late else batch


def check_ratio(ratio: Any) -> None:
    """Check the number of unlabelled images for each labelled one.

    Raises:
        ConfigError: If it is no positive, finite number.
    """
    if isinstance(ratio, bool) or not isinstance(
            ratio, (int, float)) or not 0 < ratio < float('inf'):
        raise ConfigError('the ratio of unlabelled images is a positive '
                          f'number, not {ratio!r}')


def _built(dataset: Any) -> Any:
    return mmengine.registry.DATASETS.build(dataset) if isinstance(
        dataset, dict) else dataset
