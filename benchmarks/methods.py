#!/usr/bin/env python
"""The gain of a method: teacher, student alone and distilled student.

    benchmarks/methods.py --method bpkd --seeds 0 1 2

The comparison is fair by construction: for each seed, the student alone and
the distilled one have the same initial weights, the same order of data and
augmentations, and the same schedule. The learning rate of the student alone
and the weight of the method (with as many candidates each) are tuned on the
validation scenes, with a seed that is not reported. Only finished networks
are tested on the test scenes. An interrupted benchmark resumes without
repeating finished runs.

To add a method, write a file in benchmarks/entries. The runs are planned in
benchmarks/experiment.py.
"""
import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, List

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.entry import Entry, require_method  # noqa: E402
from benchmarks.experiment import Experiment, execute  # noqa: E402
from benchmarks.report import versions, write_result  # noqa: E402
from mmkd.utils.command import run  # noqa: E402


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--method', required=True)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--preset', help='scenes; default: the entry\'s')
    parser.add_argument('--data-root', help='scenes that exist already')
    parser.add_argument('--work-dir', help='default: work_dirs/bench/PRESET')
    parser.add_argument('--out', default='benchmarks/results')
    parser.add_argument(
        '--iters', type=int, help='iterations of each training, for a trial')
    parser.add_argument(
        '--jobs',
        type=int,
        default=2,
        help='students that train side by side, with a thread each')
    return parser.parse_args(argv)


def summarise(result: dict, key: str = '') -> dict:
    """Compute the mean gain, its paired standard error, and the share of the
    gap that it closes.

    Args:
        result (dict): Has ``teacher`` (a number), ``baseline`` and
            ``distilled`` (a number a seed).
        key (str): Name of the metric. Defaults to ''.

    Returns:
        dict: ``gain``, ``standard_error`` (None for one seed) and
        ``gap_closed`` (a share, None where the teacher is not better).
    """
    import numpy as np
    gains = np.subtract(result['distilled'], result['baseline'])
    gap = result['teacher'] - np.mean(result['baseline'])
    error = gains.std(ddof=1) / len(gains)**0.5 if len(gains) > 1 else None
    return dict(
        metric=key,
        gain=float(gains.mean()),
        standard_error=None if error is None else float(error),
        gap_closed=float(gains.mean() / gap) if gap > 0 else None)


def collect(experiment: Experiment, results: Dict[str, Any]) -> Dict[str, Any]:
    """The scores of an experiment, with a summary a metric.

    Args:
        experiment (Experiment): Its plan.
        results (dict): From :func:`benchmarks.experiment.execute`.

    Returns:
        dict: The part of the result file that the runs decide.
    """
    entry = experiment.entry
    teacher = entry.scaled(results[experiment.teacher].run.test(
        entry.test_split))

    def scores(key: str) -> Dict[str, Any]:
        return dict(
            teacher=teacher[key],
            baseline=[results[x].metrics[key] for x in experiment.alone],
            distilled=[results[x].metrics[key] for x in experiment.distilled])

    runs = (*experiment.teachers, *experiment.alone, *experiment.distilled)
    return dict(
        **scores(entry.metric),
        summary=summarise(scores(entry.metric), entry.metric),
        **{
            name:
            dict(
                metric=key, **scores(key), summary=summarise(scores(key), key))
            for name, key in entry.more_metrics.items()
        },
        tuned=dict(student=results['student'], distilled=results['distilled']),
        iters=dict(
            teacher=experiment.length(entry.teacher),
            student=experiment.length(entry.student),
            tuning=experiment.tuning_iters),
        minutes=round(sum(results[x].run.minutes for x in runs), 1))


def as_table(result: Dict[str, Any], more_metrics: List[str]) -> str:
    """The result as text, a line a metric."""
    from mmkd.utils.table import format_table
    rows = []
    for part in (result, *(result[name] for name in more_metrics)):
        summary = part['summary']
        error = summary['standard_error']
        closed = summary['gap_closed']
        rows.append([
            part['metric'], f'{part["teacher"]:.2f}',
            ' '.join(f'{x:.2f}' for x in part['baseline']),
            ' '.join(f'{x:.2f}'
                     for x in part['distilled']), f'{summary["gain"]:+.2f}',
            None if error is None else f'{error:.2f}',
            None if closed is None else f'{100 * closed:.0f} %'
        ])
    return format_table([
        'test metric', 'teacher', 'student alone', result['method'], 'gain',
        'standard error', 'gap closed'
    ], rows)


def main(argv=None) -> None:
    """Run the benchmark of one method."""
    args = parse_args(argv)
    os.chdir(ROOT)
    require_method(args.method)
    preset = args.preset or 'bench'
    entry = Entry.load(args.method, args.data_root or f'data/scenes/{preset}')
    entry.make_data(None if args.data_root else preset)
    experiment = Experiment(entry, args.seeds, args.iters)
    results = execute(experiment.nodes, entry, args.work_dir
                      or f'work_dirs/bench/{preset}', args.jobs)
    result = dict(
        method=args.method,
        task=entry.task,
        metric=entry.metric,
        split='test',
        seeds=list(args.seeds),
        preset=preset,
        **collect(experiment, results),
        command=' '.join([
            'benchmarks/methods.py', '--method', args.method, '--seeds',
            *map(str, args.seeds)
        ]),
        versions=versions(),
        date=time.strftime('%Y-%m-%d'))
    print(as_table(result, list(entry.more_metrics)))
    write_result(f'{args.out}/{args.method}.json', result)


if __name__ == '__main__':
    run(main)
