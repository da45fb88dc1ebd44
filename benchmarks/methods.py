#!/usr/bin/env python
"""Does a method help? Teacher, student alone and distilled, seed by seed.

    benchmarks/methods.py --method bpkd --seeds 0 1 2

The comparison is fair by construction: for each seed the student alone and
the distilled one have the same initial weights, the same order of data and
augmentations, and the same schedule. What is tuned (the learning rate of the
student alone, the weight of the method: as many values each) is tuned on the
validation scenes with a seed that is not reported; the test scenes are seen
by finished networks only. Everything is done once; an interrupted benchmark
goes on where it stopped.

A method joins by a config in benchmarks/entries.
"""
import argparse
import os
import os.path as osp
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from mmkd import cli  # noqa: E402


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--method', required=True)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--preset', help='scenes; default: the entry\'s')
    parser.add_argument('--data-root', help='scenes that are there already')
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
    """Mean gain, its paired standard error, and the share of the gap.

    Args:
        result (dict): Has ``teacher`` (a number), ``baseline`` and
            ``distilled`` (a number a seed).
        key (str): What to call the metric. Defaults to ''.

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


def _best(grid: dict, scores: list) -> dict:
    """The best value of a grid, given its scores on the validation scenes."""
    (key, values), = grid.items()
    return dict(
        key=key,
        values=list(values),
        validation=scores,
        chosen=values[scores.index(max(scores))])


def main(argv=None) -> None:
    """Run the benchmark of one method."""
    args = parse_args(argv)
    os.chdir(ROOT)
    from mmengine.config import Config

    from benchmarks.entry import Entry, of_student, require_method
    from benchmarks.report import versions, write_result
    from mmkd.apis import export_student, is_distillation
    from mmkd.experiment import Run
    from mmkd.utils.table import format_table
    require_method(args.method)
    preset = args.preset or 'bench'
    root = args.data_root or f'data/scenes/{preset}'
    filled = Entry(args.method, root)
    entry = filled.config
    work = args.work_dir or f'work_dirs/bench/{preset}'
    filled.make_data(None if args.data_root else preset)
    iters = {
        part: args.iters or entry[part].iters
        for part in ('teacher', 'student')
    }
    tuning_iters = args.iters or entry.get('tuning_iters', iters['student'])

    def make(name: str,
             config: str,
             length: int,
             seed: int,
             options: dict,
             threads=None) -> Run:
        return Run(name, config, f'{work}/{name}', length, {
            **filled.data, 'randomness.seed': seed,
            **options
        }, threads, filled.splits)

    def weights_of(run: Run) -> str:
        return f'{run.work_dir}/export/student.pth'

    def exported(run: Run) -> str:
        """Trained once; the file of its weights, as a plain network's."""
        run.train()
        path = weights_of(run)
        if not osp.isfile(path):
            # With the settings of the run, as the runner wrote them down.
            config = osp.join(run.work_dir, osp.basename(run.config))
            export_student(config, run.checkpoint, osp.dirname(path))
        return path

    # Weights that networks begin with, such as an image backbone that has seen
    # pictures before: the same ones, alone and distilled.
    first = dict(alone={}, distilled={})
    sources = []
    part = entry.get('pretrained')
    if part is not None:
        source = Entry(part.entry, root)
        name = source.config.family + 'teacher'
        network = source.config.teacher
        sources.append(
            Run(name, network.config, f'{work}/{name}', args.iters
                or network.iters, {
                    **source.data, 'randomness.seed': 0
                }, 1, source.splits))
        for way, model in (('alone', 'model'), ('distilled', 'model.student')):
            init_cfg = f'{model}.{part.module}.init_cfg'
            first[way] = {
                f'{init_cfg}.type': 'Pretrained',
                f'{init_cfg}.prefix': part.prefix,
                f'{init_cfg}.checkpoint': weights_of(sources[0])
            }

    def begin(part: dict, way: str) -> dict:
        return first[way] if part.get('pretrained') else {}

    pretraining = Lock()

    def pretrain() -> None:
        with pretraining:
            for run in sources:
                exported(run)

    # By the name in the distilled model, such as `assistant`: each with a
    # recipe of its own, which may learn from those before.
    frozen = {}

    def teacher_of(name: str, part: dict) -> Run:
        options = dict(part.get('options', {}))
        if is_distillation(Config.fromfile(part.config)):
            options = {**of_student(options), **begin(part, 'distilled')}
        else:
            options.update(begin(part, 'alone'))
        return make(name, part.config, args.iters or part.iters, 0, {
            **options,
            **frozen
        }, 1)

    # Entries of one task share the teacher and the student alone, unless a
    # method needs a teacher of its own.
    family = entry.get('family', '')
    teacher = teacher_of(
        entry.get('teacher_family', family) + 'teacher', entry.teacher)
    teachers = [teacher]
    # Its results are kept apart where it asks for more metrics.
    test_split = entry.get('test_split', 'test')

    def freeze(key: str, run: Run, part: dict) -> None:
        if part.get('pretrained'):
            pretrain()
        path = exported(run)
        frozen[f'model.teachers.{key}.ckpt'] = path
        if part.get('options'):  # no longer the network of its config
            frozen[f'model.teachers.{key}.cfg'] = path.replace('.pth', '.py')

    def train_teachers() -> None:
        freeze('teacher', teacher, entry.teacher)
        for key, part in entry.get('more_teachers', {}).items():
            run = teacher_of(family + key, part)
            teachers.append(run)
            freeze(key, run, part)

    def alone(name: str, length: int, seed: int, options: dict) -> Run:
        return make(
            f'{family}student_{name}', entry.student.config, length, seed, {
                **entry.student.get('options', {}),
                **options,
                **begin(entry.student, 'alone')
            }, 1)

    def distil(name: str, length: int, seed: int, options: dict) -> Run:
        return make(
            f'{args.method}_{name}', entry.distilled.config, length, seed, {
                **of_student(entry.student.get('options', {})),
                **entry.distilled.get('options', {}),
                **options,
                **begin(entry.student, 'distilled'),
                **frozen
            }, 1)

    metric = entry.metric
    pool = ThreadPoolExecutor(args.jobs)

    def start(runs: list, split: str) -> list:
        """Train and test side by side, each when there is a place."""
        return [
            pool.submit(
                lambda run=run: filled.metrics(run.train().test(split)))
            for run in runs
        ]

    def tune(grid: dict, make_run, recipe: dict) -> dict:
        (key, values), = grid.items()
        if len(values) == 1:  # nothing to choose
            return dict(
                key=key, values=list(values), validation=[], chosen=values[0])
        found = start([
            make_run(f'tune_{value:g}', tuning_iters, entry.tuning_seed, {
                **recipe, key: value
            }) for value in values
        ], 'val')
        return _best(grid, [future.result()[metric] for future in found])

    try:
        # The student alone does not wait for the teacher.
        taught = pool.submit(train_teachers)
        pretrain()
        tuned_s = tune(entry.student_grid, alone, {})
        recipe = {tuned_s['key']: tuned_s['chosen']}
        runs_alone = [
            alone(f'seed{n}', iters['student'], n, recipe) for n in args.seeds
        ]
        baseline = start(runs_alone, test_split)
        taught.result()
        tuned_d = tune(entry.distilled_grid, distil, recipe)
        recipe = {**recipe, tuned_d['key']: tuned_d['chosen']}
        runs_distilled = [
            distil(f'seed{n}', iters['student'], n, recipe) for n in args.seeds
        ]
        distilled = start(runs_distilled, test_split)
        scores = {
            part: [future.result() for future in futures]
            for part, futures in (('baseline', baseline), ('distilled',
                                                           distilled))
        }
    finally:
        pool.shutdown(cancel_futures=True)
    runs = runs_alone + runs_distilled
    minutes = sum(run.minutes for run in (*sources, *teachers, *runs))
    teacher_scores = filled.metrics(teacher.test(test_split))

    def collect(key: str) -> dict:
        return dict(
            teacher=teacher_scores[key],
            **{
                part: [s[key] for s in found]
                for part, found in scores.items()
            })

    result = dict(
        method=args.method,
        task=entry.task,
        metric=metric,
        split='test',
        **collect(metric),
        seeds=list(args.seeds),
        preset=preset,
        summary=summarise(collect(metric), metric),
        **{
            name:
            dict(
                metric=key,
                **collect(key),
                summary=summarise(collect(key), key))
            for name, key in entry.get('more_metrics', {}).items()
        },
        tuned=dict(student=tuned_s, distilled=tuned_d),
        iters=dict(**iters, tuning=tuning_iters),
        command=' '.join([
            'benchmarks/methods.py', '--method', args.method, '--seeds',
            *map(str, args.seeds)
        ]),
        versions=versions(),
        minutes=round(minutes, 1),
        date=time.strftime('%Y-%m-%d'))
    rows = []
    for part in (result, *(result[x] for x in entry.get('more_metrics', {}))):
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
    print(
        format_table([
            'test metric', 'teacher', 'student alone', args.method, 'gain',
            'standard error', 'gap closed'
        ], rows))
    write_result(f'{args.out}/{args.method}.json', result)


if __name__ == '__main__':
    cli.run(main)
