"""A data loader whose position and RNG states can be saved and restored."""
import inspect
import logging
import pickle
from itertools import chain, islice, repeat
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

from mmengine.logging import print_log
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from mmkd.engine.cache.views import ViewBatchSampler, ViewDataset
from mmkd.engine.resume.memory import LOOKS, OVERWRITTEN, MemoryWatch
from mmkd.utils.rng import random_state, set_random_state


class ResumableLoader(DataLoader):
    """torch's loader with a state that can be saved and restored.

    It draws the same random numbers and gives the same batches as the loader
    that it is made from. Workers prefetch, so the state of their generators
    is ahead of training; each batch therefore comes with the RNG state that
    making it left in its worker. :meth:`state_dict` returns the states that
    belong to the last batch that was *used*.

    After :meth:`load_state_dict`, the next pass starts behind that batch: the
    batch sampler skips the indices of used batches, and new workers start
    from the saved RNG states. Nothing is loaded twice.

    That is not enough for a transform that remembers earlier samples
    (:mod:`~mmkd.engine.resume.memory`). With such a transform, used batches
    are loaded again.

    Args:
        loader (DataLoader): The loader to replace, not yet used.
        views (int, optional): Number of random versions of each sample
            (:mod:`mmkd.engine.cache.views`). Defaults to None: no limit.
        seed (int): Seed of the versions. Defaults to 0.
    """

    def __init__(self,
                 loader: DataLoader,
                 views: Optional[int] = None,
                 seed: int = 0) -> None:
        options = {
            name: getattr(loader, name)
            for name in inspect.signature(DataLoader).parameters
            # A batch sampler excludes these.
            if name not in ('batch_size', 'shuffle', 'sampler', 'drop_last')
        }
        sampler = loader.batch_sampler
        if views is not None:
            sampler = ViewBatchSampler(sampler, views, len(loader.dataset))
            options['dataset'] = ViewDataset(loader.dataset, seed)
        options['batch_sampler'] = StatefulBatchSampler(sampler)
        super().__init__(**options)
        # Passes that are over, and batches used in the current one.
        self._passes = self._batches = 0
        # RNG state of each worker after its last used batch, pickled.
        self._states: Dict[int, bytes] = {}
        self._remembering: List[str] = []
        self._resumption: Optional[_Resumption] = None
        self._resumed = False

    @staticmethod
    def supports(loader: Any) -> bool:
        """Whether a loader can be replaced: it has to load by batches of
        indices."""
        return (loader.batch_sampler is not None
                and not isinstance(loader.dataset, IterableDataset))

    # ---------------------------------------------------------------- state

    def state_dict(self) -> Dict[str, Any]:
        """The position and the workers' RNG states, as plain data."""
        return dict(
            passes=self._passes,
            batches=self._batches,
            changing=list(self._remembering),
            states={
                worker: pickle.loads(state)
                for worker, state in self._states.items()
            },
            made_by=self._made_by())

    def load_state_dict(self, state: Dict[str, Any],
                        main_state: Optional[Dict[str, Any]]) -> None:
        """Continue from a saved position; call it before the first pass.

        Args:
            state (dict): From :meth:`state_dict`.
            main_state (dict, optional): RNG state of the main process, which
                is restored just before the next batch is made. None leaves
                the generators alone.
        """
        self._passes, self._batches = state['passes'], state['batches']
        # mmkd 0.1 listed transforms that remember nothing, too.
        known = {name.rpartition('.')[2] for name in OVERWRITTEN}
        self._remembering = [x for x in state['changing'] if x not in known]
        reload = False
        if state['made_by'] != self._made_by():
            print_log(
                'the training data or their loader have changed since the '
                f'checkpoint ({state["made_by"]}, now {self._made_by()}): '
                'training continues after the same number of batches, but '
                'not bit for bit as without the interruption', 'current',
                logging.WARNING)
        elif self._remembering:
            print_log(
                f'{", ".join(self._remembering)} remember(s) earlier '
                'samples: the batches before the checkpoint are loaded again',
                'current', logging.WARNING)
            reload = True
        elif not self._passes and self._batches <= LOOKS * max(
                self.num_workers, 1):
            # Too few batches to tell whether a transform remembers.
            reload = True
        else:
            self._states = {
                worker: pickle.dumps(worker_state)
                for worker, worker_state in state['states'].items()
            }
        self._resumption = _Resumption(reload, main_state)
        self._resumed = True

    def _made_by(self) -> Dict[str, Any]:
        """What the position and the RNG states depend on."""
        return dict(
            samples=len(self.dataset),
            batch_size=getattr(self.batch_sampler, 'batch_size', None),
            workers=self.num_workers,
            persistent=self.persistent_workers)

    # ------------------------------------------------------------ iterating

    def __iter__(self) -> Iterator[Any]:
        resumption, self._resumption = self._resumption, None
        if resumption is not None:
            return self._resume(resumption)
        if self._batches:  # the last pass was left early
            self._end_pass()
        if self._resumed:  # the loop counts passes from the resumption
            self.batch_sampler.set_epoch(self._passes)
        return self._pass(self._start())

    def _start(self,
               used: int = 0,
               empty: int = 0,
               states: Optional[Dict[int, bytes]] = None) -> Iterator[Any]:
        """Start a pass of torch's loader, and its workers unless they run.

        Args:
            used (int): Number of batches to leave out.
            empty (int): Number of empty batches in their place.
            states (dict[int, bytes], optional): RNG states of the workers.
        """
        plain = self.collate_fn, self.worker_init_fn
        self.collate_fn = _Collate(self.collate_fn, self.dataset)
        self.worker_init_fn = _WorkerInit(self.worker_init_fn, states or {})
        self.batch_sampler.skip = used, empty
        try:
            return super().__iter__()
        finally:  # others may use them
            self.collate_fn, self.worker_init_fn = plain
            self.batch_sampler.skip = 0, 0

    def _resume(self, resumption: '_Resumption') -> Iterator[Any]:
        """The rest of the pass in which the checkpoint was saved."""
        passes, batches = self._passes, self._batches
        main_state = resumption.main_state
        if resumption.reload:
            # Workers that start anew with each pass remember only that pass.
            anew = self.num_workers and not self.persistent_workers
            self._passes, self._batches = passes if anew else 0, 0
            while self._passes < passes:
                self.batch_sampler.set_epoch(self._passes)
                for _ in self._pass(self._start()):
                    pass
            self._batches = batches
        self.batch_sampler.set_epoch(passes)
        if passes and not batches and not self.persistent_workers:
            # The checkpoint was saved between two passes, and starting the
            # next one draws from the main process's generator.
            if main_state is not None:
                set_random_state(main_state)
            main_state = None
        if resumption.reload:
            return self._pass(self._start(), batches, main_state)
        # torch starts each pass at worker 0; empty batches pass the turn to
        # the worker that was to make the next batch.
        empty = batches % self.num_workers if self.num_workers else 0
        return self._pass(
            self._start(batches, empty, self._states), empty, main_state)

    def _pass(self,
              iterator: Iterator['_Batch'],
              dropped: int = 0,
              main_state: Optional[Dict[str, Any]] = None) -> Iterator[Any]:
        """Follow a pass of torch's loader, whose first batches are dropped."""
        if self._resumed:
            # mmengine's sampler hook has set it to 0 in loops by iterations;
            # without workers, the sampler starts only now.
            self.batch_sampler.set_epoch(self._passes)
        for batch in islice(iterator, dropped):
            self._note(batch)
        if main_state is not None:
            set_random_state(main_state)
        for batch in iterator:
            self._note(batch)
            self._batches += 1
            yield batch.content
        self._end_pass()

    def _note(self, batch: '_Batch') -> None:
        if batch.worker is not None:
            self._states[batch.worker] = batch.state
        self._remembering = sorted({*self._remembering, *batch.remembering})

    def _end_pass(self) -> None:
        self._passes += 1
        self._batches = 0
        if not self.persistent_workers:
            self._states = {}


class StatefulBatchSampler:
    """A batch sampler that can start in the middle of a pass.

    Args:
        batch_sampler (Iterable[list[int]]): Gives the indices of each batch.

    Attributes:
        skip (tuple[int, int]): Number of batches that the next pass leaves
            out, and number of empty batches in their place.
    """

    def __init__(self, batch_sampler: Any) -> None:
        self.batch_sampler = batch_sampler
        self.skip = (0, 0)

    def __getattr__(self, name: str) -> Any:
        # `sampler`, `batch_size` and `drop_last`, which mmengine reads.
        if name == 'batch_sampler':  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.batch_sampler, name)

    def __len__(self) -> int:
        return len(self.batch_sampler)

    def __iter__(self) -> Iterator[List[int]]:
        batches, (used, empty) = iter(self.batch_sampler), self.skip
        if not used:
            return batches
        return chain(repeat([], empty), islice(batches, used, None))

    def set_epoch(self, epoch: int) -> None:
        """Tell the sampler which pass comes next, as mmengine does."""
        sampler = getattr(self.batch_sampler, 'sampler', None)
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(epoch)


class _Resumption(NamedTuple):
    """How the first pass after :meth:`ResumableLoader.load_state_dict`
    starts: whether used batches are loaded again, and the RNG state of the
    main process."""
    reload: bool
    main_state: Optional[Dict[str, Any]]


class _Batch(NamedTuple):
    """A batch, and what making it left behind in its worker.

    torch pins the memory of what is in a named tuple.
    """
    content: Any
    worker: Optional[int]  # None: made by the main process
    state: Optional[bytes]
    remembering: List[str]


class _Collate:
    """Collates a batch, and adds the RNG state of the worker."""

    def __init__(self, collate: Callable, dataset: Any) -> None:
        self.collate = collate
        self.watch = MemoryWatch(dataset)

    def __call__(self, samples: list) -> _Batch:
        content = None
        if samples:
            content = self.collate(samples)
            self.watch.look()
        worker, state = get_worker_info(), None
        if worker is not None:
            state = pickle.dumps(random_state(devices=False))
        return _Batch(content, worker and worker.id, state, self.watch.names)


class _WorkerInit:
    """Initializes a worker, and restores its RNG state if there is one."""

    def __init__(self, init: Optional[Callable], states: Dict[int,
                                                              bytes]) -> None:
        self.init, self.states = init, states

    def __call__(self, worker: int) -> None:
        if self.init is not None:
            self.init(worker)
        if worker in self.states:
            set_random_state(pickle.loads(self.states[worker]))
