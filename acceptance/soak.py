#!/usr/bin/env python
"""Short trainings of all methods, one after another, in one process.

    acceptance/soak.py                  # an hour
    acceptance/soak.py --minutes 5
    acceptance/soak.py --short          # two passes over two methods

Each training builds its networks, takes some steps with a moving average of
the student, and is discarded; then memory (resident, after garbage
collection), open files and threads are recorded. After each pass over all
methods, a complete run writes logs and checkpoints. After a warm-up of a fifth
of the time, memory may grow by at most 1 %, from the median of the first
passes to that of the last ones; files and threads must not grow.
"""
import copy
import ctypes
import gc
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Dict, List

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from acceptance.common import finish, make_parser  # noqa: E402

GROWTH = 0.01


def figures() -> Dict[str, float]:
    """Memory, open files and threads of the process."""
    gc.collect()
    try:  # release memory that the allocator caches
        ctypes.CDLL('libc.so.6').malloc_trim(0)
    except OSError:
        pass
    with open('/proc/self/statm', encoding='ascii') as file:
        pages = int(file.read().split()[1])
    return dict(
        mebibytes=round(pages * os.sysconf('SC_PAGE_SIZE') / 2**20, 2),
        files=len(os.listdir('/proc/self/fd')) - 1,
        threads=threading.active_count())


def train(name: str, steps: int, seed: int) -> None:
    """Train a few steps and discard everything."""
    import torch
    from mmengine.model import ExponentialMovingAverage
    from mmengine.optim import OptimWrapper

    from mmkd.core.model import DistillationModel
    from mmkd.testing.methods import METHOD_EXAMPLES
    torch.manual_seed(seed)
    example = METHOD_EXAMPLES[name]()
    model = DistillationModel(**copy.deepcopy(example.model)).train()
    optimizer = OptimWrapper(
        torch.optim.SGD(model.parameters(), lr=1e-4, momentum=.9))
    average = ExponentialMovingAverage(model.student)
    for step in range(steps):
        log = model.train_step(example.batch(2, seed=seed + step), optimizer)
        average.update_parameters(model.student)
    if not log['loss'].isfinite():
        raise RuntimeError(f'{name}: the loss is {log["loss"]}')


def run(folder: str) -> None:
    """A run with logs, self-check, checkpoints and validation."""
    from acceptance.configs import clean_process
    from mmkd import apis
    from mmkd.testing import distillation_config, segmentation_config
    cfg = segmentation_config(f'{folder}/cityscapes', f'{folder}/work')
    cfg = distillation_config(cfg, dict(bpkd=dict(type='BPKD')))
    cfg.log_level = 'CRITICAL'
    apis.train(cfg)
    clean_process()


def main(argv=None) -> int:
    parser = make_parser('soak', __doc__)
    parser.add_argument('--minutes', type=float, default=60., help='how long')
    parser.add_argument(
        '--steps', type=int, default=5, help='of each training')
    args = parser.parse_args(argv)
    import torch

    import mmkd.registry  # noqa: F401
    from mmkd.testing import write_cityscapes
    from mmkd.testing.methods import METHOD_EXAMPLES
    torch.set_num_threads(1)
    names = ['cwd', 'fgd'] if args.short else list(METHOD_EXAMPLES)
    began, passes = time.time(), []
    minutes: List[float] = []
    with tempfile.TemporaryDirectory() as folder:
        write_cityscapes(f'{folder}/cityscapes', 4, 1)
        while len(passes) < 2 or (not args.short
                                  and time.time() - began < 60 * args.minutes):
            for name in names:
                train(name, args.steps, len(passes))
            run(folder)
            passes.append(figures())
            minutes.append(round((time.time() - began) / 60, 2))
            print(f'{minutes[-1]:.1f} min: {passes[-1]}', flush=True)
    warm = [p for p, at in zip(passes, minutes) if at > minutes[-1] / 5]
    third = max(len(warm) // 3, 1)

    def growth(key: str) -> float:
        first, last = (
            statistics.median(p[key] for p in part)
            for part in (warm[:third], warm[-third:]))
        return last / first - 1

    found = {key: round(growth(key), 5) for key in passes[0]}
    cases = [
        dict(
            case=key,
            growth=value,
            first=warm[0][key],
            last=warm[-1][key],
            # Two passes are not a warm-up; the short form only tests the
            # script.
            passed=value <= (GROWTH if key == 'mebibytes' else 0)
            or args.short) for key, value in found.items()
    ]
    return finish(
        args,
        cases,
        trainings=len(passes) * (len(names) + 1),
        passes=[dict(p, at=at) for p, at in zip(passes, minutes)])


if __name__ == '__main__':
    sys.exit(main())
