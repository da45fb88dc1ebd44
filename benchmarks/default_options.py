#!/usr/bin/env python
"""What the options that make a teacher cheaper change in the result.

    benchmarks/default_options.py --iters 400 --seeds 0 1 2

Students of a segmentation method (CWD, class scores) and a detection method
(MGD, features) of the embedded benchmark train with the teacher as mmkd runs
it by default (folded, channels_last, and for features bfloat16 where the
device computes in it), and as its library runs it. Both start equal, see the
same batches, and are compared on the test scenes: metric, and task loss. The
differences are set beside those between the seeds. An interrupted benchmark
resumes without repeating finished runs.
"""
import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.auto_weight import Method, Trainer  # noqa: E402
from benchmarks.entry import Entry  # noqa: E402
from benchmarks.report import versions, write_result  # noqa: E402
from mmkd.testing.examples import PLAIN  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

METHODS = ('cwd', 'mgd')


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--methods', nargs='+', default=METHODS)
    parser.add_argument('--iters', type=int, default=400)
    parser.add_argument('--batch-size', type=int, default=4)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--preset', default='small')
    parser.add_argument('--work-dir', default='work_dirs/default_options')
    parser.add_argument('--out', default='benchmarks/results')
    return parser.parse_args(argv)


def compare(method: Method, seeds: List[int]) -> Dict[str, Any]:
    """Train with and without the options, and compare on the test scenes.

    Returns:
        dict: Values by seed, the mean difference with its standard error, and
        the standard deviation between the seeds without the options.
    """
    as_it_is = {
        f'model.teachers.teacher.{key}': value
        for key, value in PLAIN.items()
    }
    weight = method.tune()
    found: Dict[str, Any] = dict(metric=method.entry.metric)
    for kind, options in (('default', {}), ('as_it_is', as_it_is)):
        runs = [
            method.distilled(weight, kind, seed, 'test', options)
            for seed in seeds
        ]
        for key in ('metric', 'loss'):
            found[f'{key}_{kind}'] = [run[key] for run in runs]
    for key in ('metric', 'loss'):
        before = found[f'{key}_as_it_is']
        gaps = [a - b for a, b in zip(found[f'{key}_default'], before)]
        found[f'{key}_difference'] = statistics.mean(gaps)
        found[f'{key}_error'] = statistics.stdev(gaps) / len(gaps)**0.5
        found[f'{key}_between_seeds'] = statistics.stdev(before)
    return found


def as_table(methods: Dict[str, Dict[str, Any]]) -> str:
    """The comparison as text, a line a method and score."""
    from mmkd.utils.table import format_table
    return format_table(
        ['method', 'score', 'default - as it is', 'between seeds'], [[
            name, found['metric'] if key == 'metric' else 'task loss',
            f'{found[f"{key}_difference"]:+.3f} +- '
            f'{found[f"{key}_error"]:.3f}',
            f'{found[f"{key}_between_seeds"]:.3f}'
        ] for name, found in methods.items() for key in ('metric', 'loss')])


def main(argv=None) -> None:
    """Run the benchmark."""
    args = parse_args(argv)
    os.chdir(ROOT)
    root = f'data/scenes/{args.preset}'
    trainer = Trainer(args)
    methods = {}
    for name in args.methods:
        if not methods:
            Entry.load(name, root).make_data(args.preset)
        methods[name] = compare(Method(name, trainer, root), args.seeds)
        print(as_table({name: methods[name]}), flush=True)
    write_result(
        f'{args.out}/default_options.json',
        dict(
            preset=args.preset,
            iters=args.iters,
            batch_size=args.batch_size,
            seeds=args.seeds,
            methods=methods,
            versions=versions(),
            date=time.strftime('%Y-%m-%d')))


if __name__ == '__main__':
    run(main)
