"""Times of several ways to do the same, in turn, in one process."""
import gc
import statistics
import time
from typing import Callable, Dict, List

import torch

#: Seconds of each round by way.
Times = Dict[str, List[float]]


def measure_in_turn(ways: Dict[str, Callable[[], object]],
                    rounds: int,
                    warmup: int = 3) -> Dict[str, Times]:
    """Rounds of all ways, in an order that rotates, so that other load on the
    machine affects all of them.

    Args:
        ways (dict[str, Callable]): What to time, by name.
        rounds (int): Number of rounds.
        warmup (int): Number of rounds before these. Defaults to 3.

    Returns:
        dict[str, Times]: ``wall`` time and ``cpu`` time of this process. On a
        GPU, ``wall`` is the time between two events of its stream.
    """
    wall: Times = {name: [] for name in ways}
    cpu: Times = {name: [] for name in ways}
    names = list(ways)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for i in range(-warmup, rounds):
            turn = i % len(names)
            for name in names[turn:] + names[:turn]:
                torch.manual_seed(i)  # the same dropout in all of them
                seconds = _timed(ways[name])
                if i >= 0:
                    wall[name].append(seconds[0])
                    cpu[name].append(seconds[1])
            gc.collect()  # between the rounds, not within a step
            if i >= 0 and ((i + 1) % 20 == 0 or i + 1 == rounds):
                print(f'  {i + 1}/{rounds} rounds', flush=True)
    finally:
        gc.enable()
        gc.unfreeze()
    return dict(wall=wall, cpu=cpu)


def _timed(way: Callable[[], object]) -> tuple:
    began, began_cpu = time.perf_counter(), time.process_time()
    if not torch.cuda.is_available():
        way()
        return time.perf_counter() - began, time.process_time() - began_cpu
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    way()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3, time.process_time() - began_cpu


def ratio_of(times: List[float], reference: List[float]) -> dict:
    """Ratio of two times: by the fastest, by the medians, by rounds.

    Args:
        times (list[float]): Seconds of each round.
        reference (list[float]): Those of the other way, the same rounds.

    Returns:
        dict: Ratio of ``min``, of ``median``, the median of the ``paired``
        ratios, and half the length of its 95 % interval (normal
        approximation to the ranks), ``paired_error``.
    """
    pairs = sorted(a / b for a, b in zip(times, reference))
    count = len(pairs)
    reach = 0.98 * count**0.5  # 1.96 standard deviations of a rank
    low = pairs[max(0, int(count / 2 - reach))]
    high = pairs[min(count - 1, int(count / 2 + reach))]
    return dict(
        min=min(times) / min(reference),
        median=statistics.median(times) / statistics.median(reference),
        paired=statistics.median(pairs),
        paired_error=(high - low) / 2)
