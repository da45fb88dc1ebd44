#!/usr/bin/env python
"""Teacher and student alone: is there a gap, and does more help?

    benchmarks/baselines.py --entry retinanet_scenes

Student and teacher are trained on the training scenes and tested on the test
scenes; so are the student with half of the iterations, and the teacher with a
quarter of the data (small networks learn from few pictures what they can).
The benchmarks of methods share the teacher. Where its schedule is not the
student's, one of its width is trained with that too. Everything is done once;
an interrupted benchmark goes on where it stopped.
"""
import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.entry import Entry, names  # noqa: E402
from benchmarks.report import versions, write_result  # noqa: E402
from mmkd import cli  # noqa: E402


def main(argv=None) -> None:
    """Run the benchmark of one entry."""
    os.chdir(ROOT)
    from mmkd.experiment import Run
    from mmkd.utils.table import format_table
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--entry', required=True, choices=names('student'))
    parser.add_argument('--preset', default='bench')
    parser.add_argument('--data-root', help='scenes that are there already')
    parser.add_argument('--work-dir', help='default: work_dirs/bench/PRESET')
    parser.add_argument('--out', default='benchmarks/results')
    parser.add_argument('--iters', type=int, help='of each, for a trial')
    parser.add_argument('--jobs', type=int, default=2)
    args = parser.parse_args(argv)

    root = args.data_root or f'data/scenes/{args.preset}'
    filled = Entry(args.entry, root)
    entry = filled.config
    family = entry.get('family', '')
    work = args.work_dir or f'work_dirs/bench/{args.preset}'
    filled.make_data(None if args.data_root else args.preset)
    length = args.iters or entry.student.iters
    own_length = args.iters or entry.teacher.iters
    key, values = next(iter(entry.student_grid.items()))
    recipe = {key: values[0]}
    options = dict(entry.teacher.get('options', {}))

    def make(name: str, part: str, iters: int, options: dict) -> Run:
        own = entry[part]
        return Run(name, own.config, f'{work}/{family}{name}', iters, {
            **filled.data, 'randomness.seed': 0,
            **options
        }, 1, filled.splits)

    runs = {
        'student':
        make('base_student', 'student', length, recipe),
        'half the training':
        make('base_half_training', 'student', length // 2, recipe),
        'teacher':
        make('teacher', 'teacher', own_length, options),
        'teacher, a quarter of the data':
        make('base_less_data', 'teacher', own_length, {
            **options,
            **entry.less_data
        })
    }
    if own_length != length or options:
        runs["the teacher's width"] = make('base_wide', 'teacher', length,
                                           recipe)
    # The longest first, so that no core idles at the end.
    order = sorted(runs, key=lambda name: 'teacher' not in name)
    with ThreadPoolExecutor(args.jobs) as pool:
        found = dict(
            zip(
                order,
                pool.map(
                    lambda name: filled.metrics(runs[name].train().test()),
                    order)))
    scores = {name: found[name] for name in runs}
    metrics = [entry.metric, *entry.get('more_metrics', {}).values()]
    result = dict(
        entry=args.entry,
        task=entry.task,
        metric=entry.metric,
        split='test',
        scores={
            name: {
                metric: scores[name][metric]
                for metric in metrics
            }
            for name in runs
        },
        gap=scores['teacher'][entry.metric] - scores['student'][entry.metric],
        iters={
            name: run.iters
            for name, run in runs.items()
        },
        minutes={
            name: round(run.minutes, 1)
            for name, run in runs.items()
        },
        preset=args.preset,
        command=f'benchmarks/baselines.py --entry {args.entry}',
        versions=versions(),
        date=time.strftime('%Y-%m-%d'))
    print(
        format_table(['network', 'iterations', 'minutes', *metrics], [[
            name, run.iters, f'{run.minutes:.1f}',
            *(f'{scores[name][metric]:.2f}' for metric in metrics)
        ] for name, run in runs.items()]))
    write_result(f'{args.out}/baselines_{args.entry}.json', result)


if __name__ == '__main__':
    cli.run(main)
