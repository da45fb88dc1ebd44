"""Training batches for a look at the data before training."""
from itertools import islice
from typing import Any, Iterable, Iterator, List

import torch
from mmengine.dist import get_dist_info

from mmkd.utils.data import own_pipeline


def batch_size(loader: Any) -> int:
    """Samples of a training batch, without further unlabelled images."""
    return getattr(loader.batch_sampler, 'batch_size', None) or 1


def training_batches(loader: Any, indices: Iterable[int],
                     size: int) -> Iterator[dict]:
    """Batches of training samples, as the loader makes them.

    The order of the loader, and what its transforms keep, do not change.

    Args:
        loader (DataLoader): The data loader of the training.
        indices (Iterable[int]): Indices of the samples.
        size (int): Samples of a batch.
    """
    dataset = own_pipeline(loader.dataset)
    indices = iter(indices)
    while True:
        batch = list(islice(indices, size))
        if not batch:
            return
        yield loader.collate_fn([dataset[i] for i in batch])


def endless_batches(loader: Any, size: int) -> Iterator[dict]:
    """Random batches of training samples without end.

    Each process draws its own samples. Labelled and unlabelled ones of a
    :class:`~mmkd.data.mixed.MixedDataset` come in turn, in all processes.

    Args:
        loader (DataLoader): The data loader of the training.
        size (int): Samples of a batch, at most.
    """
    count = len(loader.dataset)
    others = len(getattr(loader.dataset, 'unlabelled', ()))
    kinds = [range(count)] + [range(count, count + others)] * bool(others)
    draws = [training_batches(loader, _shuffled(kind), size) for kind in kinds]
    while True:
        for batches in draws:
            yield next(batches)


def _shuffled(indices: range) -> Iterator[int]:
    """Indices in random passes; each process gets others of a pass."""
    generator = torch.Generator().manual_seed(0)
    rank, processes = get_dist_info()
    at = 0
    while True:
        order: List[int] = torch.randperm(
            len(indices), generator=generator).tolist()
        for position in order:
            if at % processes == rank:
                yield indices[position]
            at += 1
