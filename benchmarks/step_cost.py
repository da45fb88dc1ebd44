"""The price of a distilled training step beside the student's own."""
import copy
import itertools
import tempfile
from types import SimpleNamespace
from typing import Any, Callable, Dict, NamedTuple

from benchmarks.timing import measure_in_turn, ratio_of
from mmkd.engine.hooks import StatisticsHook
from mmkd.utils.runs import Run


def step_cost(alone: Run,
              distilled: Run,
              rounds: int = 20,
              batches: int = 4) -> Dict[str, Any]:
    """Measure steps of two trainings in turn, in one process and thread.

    Both get the same batches of their own data loader, which takes no part in
    the times. Nothing is written into the folders of the runs.

    Where a teacher has a cache with ``views``, steps that find all of its
    tensors and steps that find none are measured. A training computes each
    view of an image once, which is the share of the steps that find none.

    Args:
        alone (Run): The student alone.
        distilled (Run): The distilled student.
        rounds (int): Steps of each. Defaults to 20.
        batches (int): Batches of the data loader to take. Defaults to 4.

    Returns:
        dict: ``ratio`` of the times of both (of the process, or on a GPU
        between events), ``error`` of it, and the ``seconds`` of a step. With
        a cache also ``hit`` and ``miss``, the ratios of both kinds of steps,
        and ``misses``, the share of the latter.
    """
    import torch
    settings = distilled.settings()
    caches = [
        key.rpartition('.')[0] for key in settings if key.endswith('cache.dir')
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            trainings = dict(
                alone=_training_of(alone, {}, batches, f'{folder}/alone'))
            sizes = dict(distilled=50, miss=0) if caches else dict(distilled=0)
            for name, size in sizes.items():
                changes: Dict[str, Any] = {}
                for key in caches:
                    changes[f'{key}.dir'] = f'{folder}/{name}/cache'
                    changes[f'{key}.max_gb'] = size
                trainings[name] = _training_of(distilled, changes, batches,
                                               f'{folder}/{name}')
            times = measure_in_turn(
                {
                    name: x.step
                    for name, x in trainings.items()
                },
                rounds,
                warmup=max(3, batches))
    finally:
        torch.set_num_threads(threads)
    found = times['wall' if torch.cuda.is_available() else 'cpu']
    ratio = ratio_of(found['distilled'], found['alone'])
    result = dict(
        ratio=ratio['paired'],
        error=ratio['paired_error'],
        seconds={
            name: sorted(values)[rounds // 2]
            for name, values in found.items()
        })
    if caches:
        miss = ratio_of(found['miss'], found['alone'])
        views = settings[f'{caches[0]}.views']
        training = trainings['distilled']
        share = min(
            1.,
            views * training.images / (training.batch_size * distilled.iters))
        result.update(
            hit=ratio['paired'],
            miss=miss['paired'],
            misses=share,
            ratio=(1 - share) * ratio['paired'] + share * miss['paired'],
            error=(1 - share) * ratio['paired_error'] +
            share * miss['paired_error'])
    return result


class _Training(NamedTuple):
    """A function that makes the next step, and what the training reads."""
    step: Callable[[], object]
    images: int
    batch_size: int


def _training_of(run: Run, changes: Dict[str, Any], batches: int,
                 work_dir: str) -> _Training:
    """A training with some settings changed."""
    from mmengine.config import Config

    from mmkd import apis
    cfg = Config.fromfile(run.config)
    cfg.merge_from_dict({**run.settings(), **changes})
    if run.fast:
        apis.use_fast_student(cfg)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.log_level = 'ERROR'
    cfg.work_dir = work_dir
    # Runners of the same config and second would share their visualiser.
    cfg.experiment_name = work_dir.replace('/', '_')
    runner = apis.build_runner(apis.prepare_training(cfg))
    loader = runner.build_dataloader(cfg.train_dataloader)
    data = itertools.cycle(list(itertools.islice(loader, batches)))
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    # Otherwise the first steps would gather them.
    StatisticsHook().before_train(
        SimpleNamespace(model=runner.model, train_dataloader=loader))
    runner.model.train()

    def step() -> None:
        runner.model.train_step(copy.deepcopy(next(data)), wrapper)

    return _Training(step, len(loader.dataset),
                     cfg.train_dataloader.batch_size)
