"""A data loader that goes on where another one was stopped."""
import hashlib
import logging
import pickle
from itertools import islice
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

from mmengine.logging import print_log
from torch.utils.data import DataLoader, get_worker_info

from mmkd.utils.rng import random_state, set_random_state

#: Batches after which a process looks whether transforms have changed.
LOOKS = 3


class ResumableLoader(DataLoader):
    """torch's loader, whose place and random state can be saved.

    It gives the batches of torch's loader, number for number. Beside each
    batch its worker sends the random state that making it left behind, so
    that :meth:`place` can tell how the next ones would be made, whatever was
    made ahead. Another loader goes on from there (:meth:`take_up`): batches
    that were used are skipped by their indices, without loading anything.

    A transform may remember earlier samples: mmdet3d's sampler of a database
    of objects does, and caches of other images. That is noticed, since it
    changes while it works. Then the batches before are made once more, which
    takes as long as making them took.
    """

    @classmethod
    def of(cls, loader: DataLoader) -> 'ResumableLoader':
        """Take the place of a loader that has not been used.

        Args:
            loader (DataLoader): What mmengine built.
        """
        self = cls.__new__(cls)
        self.__dict__.update(loader.__dict__)
        self._passes = self._batches = 0
        # Random state of each worker after its last batch that was used.
        self._states: Dict[int, bytes] = {}
        self._watch = _Watch()
        self._changing: List[str] = []
        self._main_state: Optional[Dict[str, Any]] = None
        self._resumes = self._make_again = False
        return self

    def place(self) -> Dict[str, Any]:
        """Where the loader is, as plain data and tensors."""
        return dict(
            passes=self._passes,
            batches=self._batches,
            changing=list(self._changing),
            states={
                worker: pickle.loads(state)
                for worker, state in self._states.items()
            },
            made_by=self._made_by())

    def take_up(self, place: Dict[str, Any],
                main_state: Optional[Dict[str, Any]]) -> None:
        """Go on from a place. The loader must not have been used.

        Args:
            place (dict): Of :meth:`place`.
            main_state (dict, optional): Random state of this process, which
                is set just before the first batch is taken. None leaves it
                as it is.
        """
        self._passes, self._batches = place['passes'], place['batches']
        self._changing = list(place['changing'])
        self._main_state, self._resumes = main_state, True
        if place['made_by'] != self._made_by():
            print_log(
                'the training data or their loader have changed since the '
                f'checkpoint ({place["made_by"]}, now {self._made_by()}): '
                'the run goes on after as many batches, but not bit for bit '
                'as it would have', 'current', logging.WARNING)
        elif self._changing:
            print_log(
                f'{", ".join(self._changing)} remember(s) earlier samples: '
                'the batches before the checkpoint are made once more',
                'current', logging.WARNING)
            self._make_again = True
        elif not self._passes and self._batches <= LOOKS * max(
                self.num_workers, 1):
            # Too few to tell whether a transform remembers.
            self._make_again = True
        else:
            self._states = {
                worker: pickle.dumps(state)
                for worker, state in place['states'].items()
            }

    def _made_by(self) -> Dict[str, Any]:
        """What place and random states hang on."""
        return dict(
            samples=len(self.dataset),
            batch_size=getattr(self.batch_sampler, 'batch_size', None),
            workers=self.num_workers,
            persistent=self.persistent_workers)

    def __iter__(self) -> Iterator[Any]:
        if not self._resumes:
            if self._batches:  # the pass before was left early
                self._end_pass()
            return _Batches(self, super().__iter__())
        passes, batches = self._passes, self._batches
        if self._make_again:
            self._passes = self._batches = 0
            self._resumes = False
            state, self._main_state = self._main_state, None
            # New workers remember nothing of the passes before.
            fresh = self.num_workers and not self.persistent_workers
            for epoch in range(passes if fresh else 0, passes):
                self._set_epoch(epoch)
                for _ in self:
                    pass
            self._passes, self._main_state = passes, state
        self._set_epoch(passes)
        if passes and not batches and not self.persistent_workers:
            # The run drew a seed here, for new workers.
            self.set_main_state()
        iterator = _Batches(self, super().__iter__())
        self._resumes = False
        if self._make_again:
            state, self._main_state = self._main_state, None
            for _ in range(batches):
                next(iterator)
            self._main_state, self._make_again = state, False
        return iterator

    def _set_epoch(self, epoch: int) -> None:
        """Tell the sampler which pass it is, as mmengine does."""
        for sampler in (self.sampler,
                        getattr(self.batch_sampler, 'sampler', None)):
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(epoch)
                return

    def _get_iterator(self) -> Iterator[Any]:
        """Start the workers."""
        if not self.num_workers:
            return super()._get_iterator()
        if not self._resumes:
            self._states = {}
        plain = self.collate_fn, self.worker_init_fn
        self.collate_fn = _Noting(self.collate_fn)
        self.worker_init_fn = _Starting(self.worker_init_fn, self._states)
        try:
            return super()._get_iterator()
        finally:
            self.collate_fn, self.worker_init_fn = plain

    @property
    def _index_sampler(self) -> Any:
        sampler = super()._index_sampler
        if not self._resumes:
            return sampler
        return _Rest(sampler, self._batches, self._turn)

    @property
    def _turn(self) -> int:
        """The worker whose turn it is: they begin anew at each pass."""
        return self._batches % self.num_workers if self.num_workers else 0

    def set_main_state(self) -> None:
        """Set the random state that was handed to :meth:`take_up`, once."""
        if self._main_state is not None:
            set_random_state(self._main_state)
            self._main_state = None

    def _note(self, made: Any) -> Any:
        """Note what came with a batch, and give the batch."""
        self._batches += 1
        if not self.num_workers:
            self._watch.look(self.dataset)
            self._changing = self._watch.names
            return made
        batch, (worker, state, changing) = made
        self._states[worker] = state
        self._changing = sorted({*self._changing, *changing})
        return batch

    def _end_pass(self) -> None:
        self._passes += 1
        self._batches = 0
        if not self.persistent_workers:
            self._states = {}


class _Batches:
    """One pass over a loader."""

    def __init__(self, loader: ResumableLoader, iterator: Iterator) -> None:
        self.loader, self.iterator = loader, iterator
        self.skip = loader._turn if loader._resumes else 0

    def __iter__(self) -> '_Batches':
        return self

    def __next__(self) -> Any:
        self.loader.set_main_state()
        for _ in range(self.skip):
            next(self.iterator)
        self.skip = 0
        try:
            made = next(self.iterator)
        except StopIteration:
            self.loader._end_pass()
            raise
        return self.loader._note(made)


class _Rest:
    """Batches of indices without the first ones, once.

    Workers take turns, and the first one begins; empty batches make it the
    turn of the one that it was.
    """

    def __init__(self, sampler: Any, skip: int, turn: int) -> None:
        self.sampler, self.skip, self.turn = sampler, skip, turn

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[List[int]]:
        # torch asks for an iterator twice, and uses one; the other never
        # gets here.
        skip, turn, self.skip, self.turn = self.skip, self.turn, 0, 0
        batches = iter(self.sampler)
        for _ in range(turn):
            yield []
        yield from islice(batches, skip, None)


class _Noting:
    """Makes a batch in a worker, and notes what that left behind."""

    def __init__(self, collate: Callable) -> None:
        self.collate = collate
        self.watch = _Watch()

    def __call__(self, samples: list) -> Tuple[Any, tuple]:
        worker = get_worker_info()
        batch = None
        if samples:
            batch = self.collate(samples)
            self.watch.look(worker.dataset)
        state = pickle.dumps(random_state(devices=False))
        return batch, (worker.id, state, self.watch.names)


class _Starting:
    """Starts a worker, where it was if that is known."""

    def __init__(self, start: Optional[Callable], states: Dict[int,
                                                               bytes]) -> None:
        self.start, self.states = start, dict(states)

    def __call__(self, worker: int) -> None:
        if self.start is not None:
            self.start(worker)
        if worker in self.states:
            set_random_state(pickle.loads(self.states[worker]))


class _Watch:
    """Finds the transforms that change while they work.

    The first batch is left out, as it opens files and the like. One that
    cannot be compared counts as changing.
    """

    def __init__(self) -> None:
        self.names: List[str] = []
        self._left = LOOKS
        self._seen: List[Optional[str]] = []

    def look(self, dataset: Any) -> None:
        """Look at a data set, after a batch."""
        if not self._left:
            return
        self._left -= 1
        transforms = list(_transforms(dataset))
        seen = [_fingerprint(transform) for transform in transforms]
        names = {
            type(transform).__name__
            for transform, before, now in zip(transforms, self._seen, seen)
            if before != now or now is None
        }
        self.names = sorted(names.union(self.names))
        self._seen = seen if self._left else []


def _transforms(dataset: Any) -> Iterator[Any]:
    """The transforms of a data set and of those that it wraps."""
    pipeline = getattr(dataset, 'pipeline', None)
    transforms = getattr(pipeline, 'transforms', pipeline)
    if isinstance(transforms, (list, tuple)):
        yield from transforms
    elif transforms is not None:
        yield transforms
    for part in (getattr(dataset, 'dataset',
                         None), *(getattr(dataset, 'datasets', None) or ())):
        if part is not None:
            yield from _transforms(part)


class _Digest:
    """A file that keeps a digest of what is written to it."""

    def __init__(self) -> None:
        self.hash = hashlib.sha1(usedforsecurity=False)

    def write(self, content: Any) -> int:
        self.hash.update(content)
        return len(content)


def _fingerprint(value: Any) -> Optional[str]:
    """A digest of an object; None if it cannot be had."""
    digest = _Digest()
    try:
        pickle.dump(value, digest)
    except Exception:  # whatever its classes raise
        return None
    return digest.hash.hexdigest()
