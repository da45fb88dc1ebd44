"""Filling a cache before training, and verifying it."""
import math
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmkd.core.cache.opening import caches_of
from mmkd.core.cache.store import Store
from mmkd.core.cache.teacher_cache import TeacherCache
from mmkd.engine.cache.views import ViewDataset, views_of
from mmkd.engine.checks.fast import plain_model
from mmkd.errors import ConfigError


@dataclass
class Filled:
    """What filling a cache did.

    Attributes:
        store (Store): Its records.
        new (int): Number of inputs that were computed.
        there (int): Number of inputs that were stored already.
        complete (bool): Whether all was stored; the disk may be full.
    """
    store: Store
    new: int
    there: int
    complete: bool


@dataclass
class Verified:
    """What verifying a cache found.

    Attributes:
        entries (int): Number of intact entries.
        damaged (int): Number of entries whose checksum is wrong.
        compared (int): Number of entries that were computed again.
        different (int): Number of those that differ.
    """
    entries: int
    damaged: int
    compared: int
    different: int


def fill(runner: Runner,
         passes: int = 2,
         progress: bool = True) -> Dict[str, Filled]:
    """Store the tensors of all training samples.

    With ``views``, each view of each sample is read once. Otherwise the data
    are read as in some epochs; two give three quarters of what a random flip
    gives.

    Args:
        runner (Runner): A runner of the training, not started.
        passes (int): Number of times to read the data without ``views``.
            Defaults to 2.
        progress (bool): Whether to show a progress bar. Defaults to True.

    Returns:
        dict[str, Filled]: The result by name of the teacher.

    Raises:
        ConfigError: If no teacher has a cache, or views have no seed.
    """
    caches = _caches(runner)
    loader = runner.build_dataloader(runner.cfg.train_dataloader)
    views = views_of(plain_model(runner).teachers)
    if views and runner._randomness_cfg.get('seed') is None:
        raise ConfigError('the `views` of a cache depend on the seed, and the '
                          'config has none; set randomness=dict(seed=0), for '
                          'the training too')
    numbers = range(len(loader.dataset))
    items: List[Any] = [*numbers] * passes if views is None else [
        (number, view) for view in range(views) for number in numbers
    ]
    with _running(runner):
        for data in _bar(
                _read(loader, items, runner.seed), len(items), 'filling',
                progress):
            for cache in caches.values():
                frames = cache.frames(data)
                for key, sample in zip(frames.keys, frames.samples):
                    cache.record(key, sample)
            if all(cache.store.is_full for cache in caches.values()):
                break
        result = {
            name:
            Filled(cache.store, cache.misses, cache.hits,
                   not cache.store.is_full)
            for name, cache in caches.items()
        }
    for cache in caches.values():
        cache.close()
    return result


def verify(runner: Runner,
           share: float = 0.01,
           progress: bool = True) -> Dict[str, Verified]:
    """Check all entries by their checksums, and compute some again.

    Args:
        runner (Runner): A runner of the training, not started.
        share (float): Share of the training samples to compute again.
            Defaults to 0.01.
        progress (bool): Whether to show a progress bar. Defaults to True.

    Returns:
        dict[str, Verified]: The result by name of the teacher.

    Raises:
        ConfigError: If no teacher has a cache.
    """
    caches = _caches(runner)
    loader = runner.build_dataloader(runner.cfg.train_dataloader)
    views = views_of(plain_model(runner).teachers)
    count = len(loader.dataset)
    numbers = range(0, count, math.floor(1 / share) or 1) if share else []
    items: List[Any] = [
        number if views is None else (number, number % views)
        for number in numbers
    ]
    found = {}
    with _running(runner):
        for name, cache in caches.items():
            store = cache.store
            keys = list(store)
            for key in _bar(keys, len(keys), 'reading', progress):
                store.get(key)
            found[name] = Verified(len(store), store.damaged, 0, 0)
        for data in _bar(
                _read(loader, items, runner.seed), len(items), 'computing',
                progress):
            for name, cache in caches.items():
                frames = cache.frames(data)
                for key, sample in zip(frames.keys, frames.samples):
                    record = cache.store.get(key)
                    if record is not None:
                        found[name].compared += 1
                        found[name].different += not cache.same(
                            record, cache.compute(sample))
    return found


def _caches(runner: Runner) -> Dict[str, TeacherCache]:
    found = caches_of(getattr(plain_model(runner), 'teachers', {}))
    if not found:
        raise ConfigError('no teacher of the config has a `cache`; give it '
                          "one, such as cache=dict(dir='cache/')")
    return found


def _read(loader: DataLoader, items: List[Any], seed: int) -> DataLoader:
    """A loader of single samples, or of their views."""
    return DataLoader(
        ViewDataset(loader.dataset, seed),
        sampler=items,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        worker_init_fn=loader.worker_init_fn)


@contextmanager
def _running(runner: Runner) -> Iterator[None]:
    """Context in which teachers compute as in a step of the training."""
    if isinstance(runner.optim_wrapper, dict):
        runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    with runner.optim_wrapper.optim_context(runner.model):
        yield


def _bar(values: Any, total: int, title: str, progress: bool) -> Any:
    from tqdm import tqdm
    return tqdm(
        values,
        total=total,
        desc=title,
        unit='sample',
        disable=not progress,
        file=sys.stdout)
