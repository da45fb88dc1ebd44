#!/usr/bin/env python
"""The cost of PointDistiller's search and loss at KITTI's size.

    benchmarks/graph_cost.py

Uses two scans of 16000 pillars, the maximum of PointPillars in training, with
64 channels in the teacher and 32 in the student, 6000 centres, and 128
neighbours each. Measures CPU time and peak extra memory of the search alone,
for several memory budgets and for one matrix of all pairs, and of the whole
method, forward and backward.

Each case runs in its own process. Extra memory is the peak resident memory of
the process minus the memory before the case runs, when torch and the features
are already loaded; results and gradients count as extra.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict

# One thread, before torch is imported.
os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('MKL_NUM_THREADS', '1')

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

#: Memory for distances in the search, in MiB; None is a matrix of all pairs.
BUDGETS = (4, 16, 64, 256, None)
#: Allowed memory of the search beyond its budget, in MiB: the neighbours, a
#: copy of the queries, a row of distances during sorting.
BESIDE = 32


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--scans', type=int, default=2)
    parser.add_argument('--pillars', type=int, default=16000, help='of a scan')
    parser.add_argument('--centres', type=int, default=6000)
    parser.add_argument('--neighbours', type=int, default=128)
    parser.add_argument(
        '--channels', type=int, default=64, help='of the teacher')
    parser.add_argument('--note', help='about the machine, for the result')
    parser.add_argument(
        '--out', default=str(ROOT / 'benchmarks/results/graph_cost.json'))
    parser.add_argument('--case', help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def make_pillars(size: Dict[str, int]) -> Dict[str, Any]:
    """Features and point counts like those of a pillar encoder.

    Args:
        size (dict[str, int]): ``scans``, ``pillars`` and ``channels``.
    """
    import torch
    generator = torch.Generator().manual_seed(0)
    rows, channels = size['scans'] * size['pillars'], size['channels']
    # After a ReLU; nearly all pillars have few points.
    feat_t = torch.randn((rows, channels), generator=generator).relu()
    feat_s = torch.randn((rows, channels // 2), generator=generator).relu()
    uniform = torch.rand(rows, generator=generator)
    counts = uniform.clamp(min=1e-3).reciprocal().sqrt().int().clamp(max=32)
    return dict(feat_s=feat_s.requires_grad_(), feat_t=feat_t, counts=counts)


def measure_search(data: Dict[str, Any], size: Dict[str, int],
                   budget: float) -> Dict[str, float]:
    """The search alone, in this process."""
    from benchmarks.memory import forget_peak, peak, resident
    from mmkd.methods.pointdistiller.graphs import (choose_centres,
                                                    nearest_nodes)
    centres = choose_centres(data['counts'].float(), size['centres'])
    if budget is None:
        budget = 4 * len(data['feat_t']) * len(centres) / 2**20
    nearest_nodes(data['feat_t'][:64], centres[:1] * 0, 2)
    before = resident()
    forget_peak()
    begin = time.process_time()
    found = nearest_nodes(data['feat_t'], centres, size['neighbours'], budget)
    seconds = time.process_time() - begin
    assert found.shape == (len(centres), size['neighbours'])
    return dict(
        budget_mib=round(budget, 1),
        seconds=seconds,
        extra_mib=(peak() - before) / 2**20)


def measure_loss(data: Dict[str, Any], size: Dict[str, int],
                 budget: float) -> Dict[str, float]:
    """The whole method, forward and backward, in this process."""
    from benchmarks.memory import forget_peak, peak, resident
    from mmkd.core.batch import StepBatch
    from mmkd.core.taps.tap import TapSpec
    from mmkd.methods.pointdistiller.distiller import PointDistiller
    distiller = PointDistiller(
        preset='pointpillars',
        num_centres=size['centres'],
        num_neighbours=size['neighbours'],
        knn_budget_mib=budget)
    distiller.setup(*({
        'nodes': [TapSpec('voxel_encoder', tuple(data[name].shape))]
    } for name in ('feat_s', 'feat_t')))

    def step(rows: int):
        batch = StepBatch(
            inputs=dict(voxels=dict(num_points=data['counts'][:rows])))
        student, teacher = ([data[name][:rows]]
                            for name in ('feat_s', 'feat_t'))
        begin = time.process_time()
        loss = distiller(dict(nodes=student), dict(nodes=teacher),
                         batch)['loss']
        middle = time.process_time()
        loss.backward()
        return middle - begin, time.process_time() - middle

    # Code that is loaded on first use does not count.
    step(300)
    distiller.zero_grad(set_to_none=True)
    data['feat_s'].grad = None
    before = resident()
    forget_peak()
    forward, backward = step(len(data['feat_t']))
    return dict(
        budget_mib=budget,
        forward_seconds=forward,
        backward_seconds=backward,
        extra_mib=(peak() - before) / 2**20)


def measure(case: Dict[str, Any]) -> Dict[str, float]:
    """Run a case in this process.

    Args:
        case (dict): ``what`` (``'search'`` or ``'loss'``), ``budget`` in MiB
            and ``size``.
    """
    import torch
    torch.manual_seed(0)
    torch.set_num_threads(1)
    data = make_pillars(case['size'])
    run = measure_search if case['what'] == 'search' else measure_loss
    found = run(data, case['size'], case['budget'])
    return {key: round(value, 2) for key, value in found.items()}


def main(argv=None) -> int:
    """Measure all cases and write the results."""
    args = parse_args(argv)
    if args.case:
        print(json.dumps(measure(json.loads(args.case))))
        return 0
    import torch
    size = dict(
        scans=args.scans,
        pillars=args.pillars,
        centres=args.centres,
        neighbours=args.neighbours,
        channels=args.channels)

    def run(what: str, budget) -> Dict[str, float]:
        case = json.dumps(dict(what=what, budget=budget, size=size))
        output = subprocess.run([sys.executable, __file__, '--case', case],
                                check=True,
                                stdout=subprocess.PIPE,
                                text=True).stdout
        found = json.loads(output.splitlines()[-1])
        print(f'{what:>7}',
              '  '.join(f'{key} {value:g}' for key, value in found.items()))
        return found

    search = [run('search', budget) for budget in BUDGETS]
    loss = run('loss', 64)
    kept = all(case['extra_mib'] <= case['budget_mib'] + BESIDE
               for case in search)
    from benchmarks.report import write_result
    write_result(
        args.out,
        dict(
            size=size,
            dtype='float32',
            threads=1,
            machine=platform.machine(),
            note=args.note,
            torch=torch.__version__,
            beside_mib=BESIDE,
            budget_kept=kept,
            search=search,
            loss=loss))
    if not kept:
        print('the search takes more than its budget', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
