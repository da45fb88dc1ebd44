#!/usr/bin/env python
"""What does ACAM-KD cost on the levels of a detector's neck?

    benchmarks/acam_memory.py

For a R50-FPN neck (256 channels) and one image of 800x1344 pixels: time and
peak extra memory of the method, forward and backward, for each level alone,
for all levels as in a training step, and for square maps of growing size.

Each case runs in its own process. Extra memory is the peak resident memory of
the process minus the memory before the method runs, when torch, the maps of
both networks and the method's modules are already loaded; gradients of the
maps and of the modules count as extra. The size of the matrix of all pairs of
cells is shown for comparison.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

# One thread, before torch is imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MKL_NUM_THREADS', '1')

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

IMAGE = (800, 1344)
#: Levels of a one-stage detector by their stride.
STRIDES = dict(P3=8, P4=16, P5=32, P6=64, P7=128)
#: Side of square maps, for the growth with the number of cells.
SIDES = (32, 45, 64, 91, 128)
#: Maximum extra memory of the method, in GiB.
BOUND = 1.5


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--channels', type=int, default=256)
    parser.add_argument(
        '--max-kv', type=int, help='pool keys and values beyond this number')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=IMAGE,
        metavar=('HEIGHT', 'WIDTH'),
        help='of the image, in pixels')
    parser.add_argument(
        '--out', default=str(ROOT / 'benchmarks/results/acam_memory.json'))
    parser.add_argument('--case', help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def measure(sizes: Sequence[Tuple[int, int]], channels: int,
            max_kv: Optional[int]) -> Dict[str, float]:
    """Run the method once on maps of the given sizes, in this process.

    Args:
        sizes (Sequence[tuple[int, int]]): Height and width of each level.
        channels (int): Channels of both networks' maps.
        max_kv (int, optional): As in :class:`mmkd.methods.acam.ACAM`.

    Returns:
        dict[str, float]: CPU seconds forward and backward, extra memory in
        GiB.
    """
    import torch

    from benchmarks.memory import forget_peak, peak, resident
    from mmkd.core.batch import StepBatch
    from mmkd.core.taps.tap import TapSpec
    from mmkd.methods.acam.distiller import ACAM
    torch.manual_seed(0)
    torch.set_num_threads(1)
    distiller = ACAM(place='neck', max_kv=max_kv)
    specs = [
        TapSpec(f'neck[{i}]', (1, channels, *size))
        for i, size in enumerate(sizes)
    ]
    distiller.setup(dict(neck=specs), dict(neck=specs))

    def maps(sizes: Sequence[Tuple[int, int]], grad: bool) -> list:
        return [
            torch.randn(1, channels, *size, requires_grad=grad)
            for size in sizes
        ]

    def step(student: list, teacher: list) -> Tuple[float, float]:
        begin = time.process_time()
        terms = distiller(dict(neck=student), dict(neck=teacher), StepBatch())
        loss = sum(terms[name] for name in distiller.weights)
        middle = time.process_time()
        loss.backward()
        return middle - begin, time.process_time() - middle

    # Code that is loaded on first use does not count.
    tiny = [(2, 2)] * len(sizes)
    step(maps(tiny, True), maps(tiny, False))
    distiller.zero_grad(set_to_none=True)
    student, teacher = maps(sizes, True), maps(sizes, False)
    before = resident()
    forget_peak()
    forward, backward = step(student, teacher)
    return dict(
        forward_seconds=forward,
        backward_seconds=backward,
        extra_gib=(peak() - before) / 2**30)


def run_case(name: str, sizes: List[Tuple[int, int]],
             args: argparse.Namespace) -> dict:
    """Measure one case in its own process."""
    case = json.dumps(dict(sizes=sizes))
    command = [
        sys.executable, __file__, '--case', case, '--channels',
        str(args.channels)
    ]
    if args.max_kv:
        command += ['--max-kv', str(args.max_kv)]
    output = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(output.splitlines()[-1])
    cells = [height * width for height, width in sizes]
    keys = [min(n, args.max_kv or n) for n in cells]
    found = dict(
        case=name,
        cells=sum(cells),
        pairs_gib=max(n * k for n, k in zip(cells, keys)) * 4 / 2**30,
        **{
            key: round(value, 3)
            for key, value in found.items()
        })
    found['pairs_gib'] = round(found['pairs_gib'], 3)
    print('{case:>8} {cells:>7} cells  forward {forward_seconds:7.2f} s  '
          'backward {backward_seconds:7.2f} s  extra {extra_gib:6.3f} GiB  '
          '(all pairs once: {pairs_gib:.3f} GiB)'.format(**found))
    return found


def main(argv=None) -> int:
    """Measure all cases and write the results."""
    args = parse_args(argv)
    if args.case:
        case = json.loads(args.case)
        sizes = [tuple(size) for size in case['sizes']]
        print(json.dumps(measure(sizes, args.channels, args.max_kv)))
        return 0
    import torch
    levels = {
        name: tuple(-(-side // stride) for side in args.size)
        for name, stride in STRIDES.items()
    }
    rows = [run_case(name, [size], args) for name, size in levels.items()]
    whole = run_case('all', list(levels.values()), args)
    growth = [run_case(f'{side}^2', [(side, side)], args) for side in SIDES]
    result = dict(
        image=list(args.size),
        channels=args.channels,
        batch_size=1,
        max_kv=args.max_kv,
        dtype='float32',
        threads=1,
        machine=platform.machine(),
        torch=torch.__version__,
        bound_gib=BOUND,
        levels=rows,
        all_levels=whole,
        growth=growth)
    from benchmarks.report import write_result
    write_result(args.out, result)
    if whole['extra_gib'] >= BOUND:
        print(f'the method takes more than {BOUND} GiB', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
