#!/usr/bin/env python
"""Check every method on a GPU, on one page: `make gpu-check`.

    acceptance/gpu_check.py

For the example of each method, on tiny networks:

- its losses in float32 on the GPU, compared with those on the CPU;
- the lines of mmkd that make the host wait for the GPU in a training step;
- a short training with mixed precision: time of a step, peak of the memory,
  and whether the losses stay finite.

Then the tests that need a GPU run. The exit code is 1 if something
fails, and 2 without a GPU.
"""
import argparse
import contextlib
import copy
import os
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from mmkd.utils.command import run  # noqa: E402

#: Relative distance of a loss on the GPU from the one on the CPU.
TOLERANCE = 1e-3
STEPS = 20


def main(argv: Optional[List[str]] = None) -> int:
    """Check all methods, then run the tests that need a GPU."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        '--only', nargs='+', metavar='EXAMPLE', help='check these examples')
    args = parser.parse_args(argv)
    if not torch.cuda.is_available():
        print(f'There is no GPU: torch {torch.__version__} finds none, so '
              'nothing was checked.')
        return 2
    from mmengine.logging import MMLogger

    from mmkd.testing.methods import METHOD_EXAMPLES
    MMLogger.get_current_instance().setLevel('ERROR')
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    properties = torch.cuda.get_device_properties(0)
    print(f'{properties.name}, {properties.total_memory / 2**30:.0f} GiB, '
          f'torch {torch.__version__}, bfloat16 '
          f'{torch.cuda.is_bf16_supported(including_emulation=False)}')
    failed = 0
    for name in args.only or METHOD_EXAMPLES:
        try:
            found = check_method(METHOD_EXAMPLES[name](), 'cuda')
        except Exception as error:  # the page has a line for each method
            traceback.print_exc()
            found = dict(passed=False, error=repr(error)[:200])
        failed += not found['passed']
        print(line(name, found), flush=True)
    tests = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-m', 'gpu', 'tests'],
        cwd=ROOT,
        env=dict(os.environ, PYTHONPATH=str(ROOT)))
    print(f'{failed} methods failed; the tests that need a GPU '
          f'{"failed" if tests.returncode else "passed"}')
    return int(bool(failed or tests.returncode))


def check_method(example: Any, device: str) -> Dict[str, Any]:
    """Check the example of a method on a device.

    Args:
        example (MethodExample): The example.
        device (str): The device.

    Returns:
        dict: ``passed``; ``difference``, relative, of the losses from those
        on the CPU; ``waits`` by line; and ``finite``, ``milliseconds`` and
        ``peak_bytes`` of the training.
    """
    from mmengine.config import Config
    from mmengine.optim import build_optim_wrapper

    from mmkd.core.model import DistillationModel
    from mmkd.engine.configs import use_amp
    torch.manual_seed(0)
    model = DistillationModel(**copy.deepcopy(example.model)).train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd):
            module.p = 0.  # another generator on each device
    batch = example.batch()
    losses = _losses(copy.deepcopy(model), batch)
    model = model.to(device)
    there = _losses(copy.deepcopy(model), batch)
    difference = max(
        abs(value - there[key]) / max(abs(value), 1e-3)
        for key, value in losses.items())
    with _waits() as waits:
        _losses(copy.deepcopy(model), batch, read=False)
    cfg = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-4))))
    use_amp(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    peak = 0
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    began = time.perf_counter()
    logs = [model.train_step(copy.deepcopy(batch), wrapper)
            for _ in range(STEPS)]  # yapf: disable
    finite = all(bool(log['loss'].isfinite()) for log in logs)
    seconds = time.perf_counter() - began
    if device == 'cuda':
        peak = torch.cuda.max_memory_allocated()
    return dict(
        passed=difference < TOLERANCE and finite and not waits,
        difference=difference,
        waits=dict(waits),
        finite=finite,
        milliseconds=1e3 * seconds / STEPS,
        peak_bytes=peak)


def line(name: str, found: Dict[str, Any]) -> str:
    """The result of a method."""
    text = f'{"ok    " if found["passed"] else "FAILED"} {name:<34}'
    if 'error' in found:
        return text + found['error']
    text += (f'difference {found["difference"]:.0e}, '
             f'{found["milliseconds"]:.1f} ms, '
             f'{found["peak_bytes"] / 2**20:.0f} MiB')
    if not found['finite']:
        text += ', not finite'
    return text + ''.join(f'\n       waits {count}x at {where}'
                          for where, count in found['waits'].items())


def _losses(model: Any, batch: dict, read: bool = True) -> Dict[str, float]:
    torch.manual_seed(1)
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    losses = model(**data, mode='loss')
    total, log = model.parse_losses(losses)
    total.backward()
    return {key: float(value) for key, value in log.items()} if read else {}


@contextlib.contextmanager
def _waits() -> Iterator[Counter]:
    """Count the lines of mmkd at which the host waits for the GPU."""
    found: Counter = Counter()

    def note(message: Any, *args: Any, **kwargs: Any) -> None:
        if 'synchroniz' not in str(message):
            return
        frames = [
            frame for frame in traceback.extract_stack()[:-1]
            if '/torch/' not in frame.filename and frame.filename != __file__
            and not frame.filename.endswith('warnings.py')
        ]
        path = frames[-1].filename if frames else ''
        if f'{os.sep}mmkd{os.sep}' in path:
            found[f'{Path(path).name}:{frames[-1].lineno}'] += 1

    if not torch.cuda.is_available():
        yield found
        return
    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.showwarning = note
        torch.cuda.set_sync_debug_mode('warn')
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode('default')


if __name__ == '__main__':
    run(main)
