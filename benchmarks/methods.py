#!/usr/bin/env python
"""The gain of methods: at equal iterations, and at equal training time.

    benchmarks/methods.py --method bpkd cwd --seeds 0 1 2

The comparison is fair by construction: for each seed, the student alone and
the distilled one have the same initial weights, the same order of data and
augmentations, and the same schedule. The learning rate of the student alone
and the weight of the method (with as many candidates each) are tuned on the
validation data, with a seed that is not reported. Only finished networks are
tested on the test data.

At equal time, the student alone trains for more iterations of the same
schedule: for as long as the method takes, whose steps are measured in turn
with the student's own in one process. With --fast, both train in that mode.
With --cache, the distilled one's teachers compute each view of an image once.

An interrupted benchmark resumes without repeating finished runs; methods of
one pair share the runs of teacher and student. The default folder of the runs
has the checksums of the data and of the code in its name, so that no result
mixes versions. With --work-dir, the runs there are taken as they are, and the
result lists the versions of the code that trained them. To add a method, write
a file in benchmarks/entries; benchmarks/experiment.py plans the runs.
"""
import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import report  # noqa: E402
from benchmarks.entry import Entry, require_method, root_of  # noqa: E402
from benchmarks.experiment import Experiment, execute, resolved  # noqa: E402
from benchmarks.progress import Progress  # noqa: E402
from benchmarks.step_cost import step_cost  # noqa: E402
from mmkd.utils.command import run  # noqa: E402
from mmkd.utils.runs import Run  # noqa: E402


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--method', nargs='+', required=True)
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--preset', help='scenes; default: the entry\'s')
    parser.add_argument('--data-root', help='data that exist already')
    parser.add_argument(
        '--work-dir', help='default: work_dirs/bench/DATA, by data and code')
    parser.add_argument(
        '--fast', action='store_true', help='train students with --fast')
    parser.add_argument(
        '--cache',
        type=int,
        metavar='VIEWS',
        help='distil with a cache of so many views of each image')
    parser.add_argument(
        '--longer',
        type=int,
        metavar='ITERS',
        help='of the student alone at equal time, up to a tenth more than\n'
        'needed, to share runs with a method of about the same price')
    parser.add_argument(
        '--out', help='default: benchmarks/results; of a trial, its work-dir')
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
        result (dict): Has ``teacher`` (a number, or None if it was not
            tested), ``baseline`` and ``distilled`` (a number a seed).
        key (str): Name of the metric. Defaults to ''.

    Returns:
        dict: ``gain``, ``standard_error`` (None for one seed) and
        ``gap_closed`` (a share, None where the teacher is not better).
    """
    import numpy as np
    gains = np.subtract(result['distilled'], result['baseline'])
    teacher = result['teacher']
    gap = 0 if teacher is None else teacher - np.mean(result['baseline'])
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
    teacher = {} if experiment.teacher is None else entry.scaled(
        results[experiment.teacher].run.test(entry.test_split))

    def scores(key: str) -> Dict[str, Any]:
        found: Dict[str, Any] = {
            name: [results[x].metrics[key] for x in runs]
            for name, runs in (('baseline', experiment.alone),
                               ('equal_time', experiment.equal_time),
                               ('distilled', experiment.distilled))
        }
        found['teacher'] = teacher.get(key)
        return dict(
            found,
            summary=summarise(found, key),
            summary_at_equal_time=summarise(
                dict(found, baseline=found['equal_time']), key))

    equal_time = experiment.nodes[experiment.equal_time[0]]
    runs = dict.fromkeys(experiment.teachers + experiment.alone +
                         experiment.equal_time + experiment.distilled)
    return dict(
        **scores(entry.metric),
        **{
            name: dict(metric=key, **scores(key))
            for name, key in entry.more_metrics.items()
        },
        tuned=dict(student=results['student'], distilled=results['distilled']),
        iters=dict(
            teacher=experiment.length(entry.teacher),
            student=experiment.length(entry.student),
            equal_time=equal_time.iters,
            tuning=experiment.tuning_iters),
        minutes=round(sum(results[x].run.minutes for x in runs), 1))


def as_table(results: List[Dict[str, Any]]) -> str:
    """The results as text, a line a method and metric."""
    from mmkd.utils.table import format_table

    def number(value: Optional[float]) -> str:
        return '' if value is None else f'{value:.2f}'

    def text(summary: Dict[str, Any]) -> str:
        error = summary['standard_error']
        error = '' if error is None else f' ± {error:.2f}'
        return f'{summary["gain"]:+.2f}{error}'

    rows = []
    for result in results:
        parts = [x for x in result.values() if isinstance(x, dict)]
        for part in (result, *(x for x in parts if 'summary' in x)):
            rows.append([
                result['method'], part['metric'],
                number(part['teacher']), *[
                    ' '.join(f'{x:.2f}' for x in part[key])
                    for key in ('baseline', 'equal_time', 'distilled')
                ], f'{result["cost"]["ratio"]:.2f}',
                text(part['summary']),
                text(part['summary_at_equal_time'])
            ])
    return format_table([
        'method', 'test metric', 'teacher', 'alone', 'alone, equal time',
        'distilled', 'cost', 'gain', 'gain, equal time'
    ], rows)


def known_cost(name: str, folder: str) -> Optional[Dict[str, Any]]:
    """The price of a step, if it was measured before."""
    path = Path(folder) / f'{name}_cost.json'
    return json.loads(path.read_text()) if path.is_file() else None


def measure_cost(experiment: Experiment, folder: str,
                 progress: Progress) -> Dict[str, Any]:
    """The price of a step; measured once.

    Args:
        experiment (Experiment): A plan; its teachers are trained first.
        folder (str): Folder of the runs.
        progress (Progress): Is told of each run.
    """
    found = known_cost(experiment.name, folder)
    if found is not None:
        return found
    results = execute(experiment.nodes, experiment.entry, folder, 1,
                      experiment.teachers, progress)
    runs = []
    for kind, name in (('student', experiment.alone[0]),
                       ('distilled', experiment.distilled[0])):
        node = experiment.nodes[name]
        for choice in ('student', 'distilled'):
            values = experiment.nodes[choice].grid.values
            results[choice] = dict(chosen=values[0])
        runs.append(
            Run(name,
                node.config,
                '',
                node.iters,
                resolved(node, results),
                fast=node.fast))
    found = step_cost(*runs)
    print(f'a step costs {found["ratio"]:.2f} ± {found["error"]:.2f} of the '
          "student's own")
    # No run has made the folder yet where no teacher is trained.
    path = Path(folder) / f'{experiment.name}_cost.json'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found))
    return found


class Comparison:
    """The benchmark of one method.

    Args:
        name (str): Name of the method's entry.
        args (argparse.Namespace): The arguments of the command line.
    """

    def __init__(self, name: str, args: argparse.Namespace) -> None:
        self.args = args
        preset = args.preset or 'bench'
        self.root = args.data_root or root_of(name, preset)
        self.entry = Entry.load(name, self.root)
        self.entry.make_data(None if args.data_root else preset)
        self.data = self.entry.real_data or preset
        self.checksum = report.checksum(self.root)
        fast = '_fast' if args.fast else ''
        self.folder = args.work_dir or (
            f'work_dirs/bench/{self.data}{fast}/'
            f'{self.checksum[:8]}-{report.code_version()[:8]}'
            f'{f"-{args.iters}" if args.iters else ""}')
        # A trial replaces no published result.
        trial = args.iters or args.preset
        out = args.out or (self.folder if trial else 'benchmarks/results')
        cached = '_cached' if args.cache else ''
        self.out = f'{out}/{name}{fast}{cached}.json'

    def plan(self,
             cost: Optional[float] = None,
             longer: Optional[int] = None) -> Experiment:
        """The runs, with a cost that is known or guessed."""
        cache = self.args.cache and dict(
            dir=f'{self.folder}/cache', dtype='fp16', views=self.args.cache)
        return Experiment(self.entry, self.args.seeds, self.args.iters,
                          self.args.fast, cost, cache, longer)

    def expect(self, progress: Progress) -> None:
        """Tell how many runs are to come."""
        name = self.plan().name
        cost = known_cost(name, self.folder)
        plan = self.plan(cost['ratio'], self.args.longer) if cost \
            else self.plan(1.5)
        progress.expect(name, plan.runs(self.folder))

    def run(self, progress: Progress) -> Dict[str, Any]:
        """Train and test what is left, and write the result."""
        entry, args = self.entry, self.args
        cost = measure_cost(self.plan(), self.folder, progress)
        self.expect(progress)
        plan = self.plan(cost['ratio'], args.longer)
        results = execute(
            plan.nodes, entry, self.folder, args.jobs, progress=progress)
        code = {
            version
            for folder in plan.runs(self.folder)
            for version in report.recorded_code(folder)
        }
        command = ['benchmarks/methods.py', '--method', entry.name, '--seeds']
        command += [*map(str, args.seeds), *(['--fast'] if args.fast else [])]
        for flag in ('preset', 'iters', 'cache', 'longer'):
            if getattr(args, flag):
                command += [f'--{flag}', str(getattr(args, flag))]
        result = dict(
            method=entry.name,
            task=entry.task,
            metric=entry.metric,
            split=entry.test_split,
            seeds=list(args.seeds),
            preset=self.data,
            fast=args.fast,
            views=args.cache,
            cost=cost,
            **collect(plan, results),
            command=' '.join(command),
            data=self.checksum,
            scenes_version=report.scenes_version(self.root),
            code=sorted(code),
            versions=report.versions(),
            date=time.strftime('%Y-%m-%d'))
        report.write_result(self.out, result)
        return result


def main(argv=None) -> None:
    """Run the benchmarks of some methods."""
    args = parse_args(argv)
    os.chdir(ROOT)
    for name in args.method:
        require_method(name)
    series = [Comparison(name, args) for name in args.method]
    progress = Progress(args.jobs)
    for comparison in series:
        comparison.expect(progress)
    print(progress)
    results = []
    for number, comparison in enumerate(series, 1):
        print(f'== {comparison.entry.name}, {number} of {len(series)}')
        results.append(comparison.run(progress))
    print(as_table(results))
    print('`make pages` renews docs/results.md')


if __name__ == '__main__':
    run(main)
