#!/usr/bin/env python
"""Teacher and student alone: is there a gap, and do size and data help?

    benchmarks/baselines.py --entry retinanet_scenes

Trains student and teacher on the training scenes and tests them on the test
scenes; likewise the student with half of the iterations, and the teacher with
a quarter of the data, since small networks may not benefit from more images.
The benchmarks of methods share the teacher. If its schedule differs from the
student's, a network of its width is also trained with the student's schedule.
An interrupted benchmark resumes without repeating finished runs.
"""
import argparse
import os
import sys
import time
from pathlib import Path
from typing import Dict, Optional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.entry import Entry, names  # noqa: E402
from benchmarks.experiment import PlannedRun, execute  # noqa: E402
from benchmarks.report import versions, write_result  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

TITLES = dict(
    base_student='student',
    base_half_training='half the training',
    teacher='teacher',
    base_less_data='teacher, a quarter of the data',
    base_wide="the teacher's width")


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--entry', required=True, choices=names('student'))
    parser.add_argument('--preset', default='bench')
    parser.add_argument('--data-root', help='scenes that exist already')
    parser.add_argument('--work-dir', help='default: work_dirs/bench/PRESET')
    parser.add_argument('--out', default='benchmarks/results')
    parser.add_argument('--iters', type=int, help='of each, for a trial')
    parser.add_argument('--jobs', type=int, default=2)
    return parser.parse_args(argv)


def plan(entry: Entry, iters: Optional[int] = None) -> Dict[str, PlannedRun]:
    """The runs by the name of their work folder, in the order of the table.

    Args:
        entry (Entry): Their networks.
        iters (int, optional): Iterations of each. Defaults to None: those of
            the entry.
    """
    teacher, student = entry.teacher, entry.student
    length, own_length = iters or student.iters, iters or teacher.iters
    recipe = {entry.student_grid.key: entry.student_grid.values[0]}

    def make(config: str, length: int, options: dict) -> PlannedRun:
        return PlannedRun(config, length, {
            **entry.data, 'randomness.seed': 0,
            **options
        }, entry.splits, 'test')

    runs = dict(
        base_student=make(student.config, length, recipe),
        base_half_training=make(student.config, length // 2, recipe),
        teacher=make(teacher.config, own_length, teacher.options),
        base_less_data=make(teacher.config, own_length, {
            **teacher.options,
            **entry.less_data
        }))
    if own_length != length or teacher.options:
        runs['base_wide'] = make(teacher.config, length, recipe)
    return {entry.family + name: run for name, run in runs.items()}


def main(argv=None) -> None:
    """Run the benchmark of one entry."""
    args = parse_args(argv)
    os.chdir(ROOT)
    from mmkd.utils.table import format_table
    root = args.data_root or f'data/scenes/{args.preset}'
    entry = Entry.load(args.entry, root)
    entry.make_data(None if args.data_root else args.preset)
    runs = plan(entry, args.iters)
    # Longest first, so that no core is idle at the end.
    order = sorted(
        runs, key=lambda name: runs[name].config != entry.teacher.config)
    results = execute({name: runs[name]
                       for name in order}, entry, args.work_dir
                      or f'work_dirs/bench/{args.preset}', args.jobs)
    # By the titles of the table.
    found = {TITLES[name[len(entry.family):]]: results[name] for name in runs}
    metrics = [entry.metric, *entry.more_metrics.values()]
    scores = {
        name: {
            metric: part.metrics[metric]
            for metric in metrics
        }
        for name, part in found.items()
    }
    result = dict(
        entry=args.entry,
        task=entry.task,
        metric=entry.metric,
        split='test',
        scores=scores,
        gap=scores['teacher'][entry.metric] - scores['student'][entry.metric],
        iters={
            name: part.run.iters
            for name, part in found.items()
        },
        minutes={
            name: round(part.run.minutes, 1)
            for name, part in found.items()
        },
        preset=args.preset,
        command=f'benchmarks/baselines.py --entry {args.entry}',
        versions=versions(),
        date=time.strftime('%Y-%m-%d'))
    print(
        format_table(['network', 'iterations', 'minutes', *metrics], [[
            name, part.run.iters, f'{part.run.minutes:.1f}',
            *(f'{scores[name][metric]:.2f}' for metric in metrics)
        ] for name, part in found.items()]))
    write_result(f'{args.out}/baselines_{args.entry}.json', result)


if __name__ == '__main__':
    run(main)
