"""The price of a distilled training step beside the student's own."""
import copy
import itertools
import tempfile
from typing import Any, Callable, Dict

from benchmarks.timing import measure_in_turn, ratio_of
from mmkd.utils.runs import Run


def step_cost(alone: Run,
              distilled: Run,
              rounds: int = 20,
              batches: int = 4) -> Dict[str, Any]:
    """Measure steps of two trainings in turn, in one process and thread.

    Both get the same batches of their own data loader, which takes no part in
    the times. Nothing is written into the folders of the runs.

    Args:
        alone (Run): The student alone.
        distilled (Run): The distilled student.
        rounds (int): Steps of each. Defaults to 20.
        batches (int): Batches of the data loader to take. Defaults to 4.

    Returns:
        dict: ``ratio`` of the times of both (of the process, or on a GPU
        between events), ``error`` of it, and the ``seconds`` of a step.
    """
    import torch
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ways = {
            name: _step_of(run, batches)
            for name, run in (('alone', alone), ('distilled', distilled))
        }
        times = measure_in_turn(ways, rounds)
    finally:
        torch.set_num_threads(threads)
    found = times['wall' if torch.cuda.is_available() else 'cpu']
    ratio = ratio_of(found['distilled'], found['alone'])
    return dict(
        ratio=ratio['paired'],
        error=ratio['paired_error'],
        seconds={
            name: sorted(values)[rounds // 2]
            for name, values in found.items()
        })


def _step_of(run: Run, batches: int) -> Callable[[], object]:
    """A function that makes the next step of a training."""
    from mmengine.config import Config

    from mmkd import apis
    cfg = Config.fromfile(run.config)
    cfg.merge_from_dict(run.settings())
    if run.fast:
        apis.use_fast_student(cfg)
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.log_level = 'ERROR'
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        runner = apis.build_runner(apis.prepare_training(cfg))
        loader = runner.build_dataloader(cfg.train_dataloader)
        data = itertools.cycle(list(itertools.islice(loader, batches)))
    wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.model.train()

    def step() -> None:
        runner.model.train_step(copy.deepcopy(next(data)), wrapper)

    return step
