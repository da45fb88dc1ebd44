"""A comparison as a graph of runs, and the function that executes it.

:class:`Experiment` plans: which networks train with which settings, and which
of these settings only other runs can give, such as the weights of a teacher
or a tuned learning rate. Nothing is trained for that. :func:`execute` trains,
exports and tests each run when those before it are done.
"""
import math
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import (Any, Callable, Dict, Iterator, List, Optional, Sequence,
                    Tuple, Union)

from benchmarks.entry import Entry, Grid, Network, of_student
from benchmarks.progress import Progress
from benchmarks.report import record_code
from mmkd.errors import ConfigError
from mmkd.utils.runs import Run

#: A student alone gets the time of a distilled one, rounded up to this share
#: of its own, so that methods of about the same price share its runs.
TIME_STEP = 0.05


@dataclass(frozen=True)
class WeightsOf:
    """In place of a setting: the file of another run's exported weights."""
    run: str


@dataclass(frozen=True)
class CheckpointOf:
    """In place of a setting: the last checkpoint of another run."""
    run: str


@dataclass(frozen=True)
class ConfigOf:
    """In place of a setting: the config exported with another run."""
    run: str


@dataclass(frozen=True)
class ChosenBy:
    """In place of a setting: the value that a :class:`Choice` takes."""
    choice: str


@dataclass(frozen=True)
class PlannedRun:
    """A training.

    Attributes:
        config (str): Config file.
        iters (int): Iterations to train.
        options (dict): Settings, some of which may be a :class:`WeightsOf`,
            :class:`CheckpointOf`, :class:`ConfigOf` or :class:`ChosenBy`.
        splits (dict[str, dict]): Settings that test on a split.
        split (str, optional): The split to test on afterwards.
        fast (bool): Whether to train with ``--fast``. Defaults to False.
    """
    config: str
    iters: int
    options: Dict[str, Any]
    splits: Dict[str, Dict[str, Any]]
    split: Optional[str] = None
    fast: bool = False

    @property
    def needs(self) -> List[str]:
        """Names of the nodes that must be done before."""
        return [
            value.choice if isinstance(value, ChosenBy) else value.run
            for value in self.options.values()
            if isinstance(value, (WeightsOf, CheckpointOf, ConfigOf, ChosenBy))
        ]


@dataclass(frozen=True)
class Choice:
    """The best value of a setting, on the validation scenes.

    Attributes:
        grid (Grid): The setting and its candidates.
        needs (tuple[str]): A run for each candidate; none where there is
            nothing to choose.
    """
    grid: Grid
    needs: Tuple[str, ...]


Node = Union[PlannedRun, Choice]


@dataclass(frozen=True)
class Finished:
    """A run that is trained, and its metrics in points of 100, if tested."""
    run: Run
    metrics: Dict[str, float]


class Experiment:
    """The runs that compare a student alone with a distilled one.

    For each seed both have the same initial weights, order of data,
    augmentations and schedule.

    Args:
        entry (Entry): A method's entry.
        seeds (Sequence[int]): Seeds to report.
        iters (int, optional): Iterations of each training, for a trial.
            Defaults to None: those of the entry.
        fast (bool): Whether both train with ``--fast``. Defaults to False.
        cost (float, optional): Time of a distilled step, as a multiple of the
            student's own. Defaults to None: not known yet.
        cache (dict, optional): Options of a cache of each teacher of the
            distilled student. Defaults to None: none has one.
        longer (int, optional): Iterations of the student alone at equal time,
            up to a tenth more than the cost demands, to share its runs.
            Defaults to None: what the cost demands.

    Raises:
        ConfigError: If ``longer`` is too few or too many, or the teacher that
            should be cached is missing.

    Attributes:
        name (str): Prefix of the distilled runs.
        nodes (dict[str, PlannedRun | Choice]): The graph, by name; a run's
            name is that of its work folder.
        teachers (list[str]): Pretrained parts, the teacher, and further
            teachers such as an assistant.
        teacher (str, optional): The teacher; None for one that comes with its
            weights, or none at all.
        alone, distilled (list[str]): The students, one a seed.
        equal_time (list[str]): The students alone that train for at least as
            long as the distilled ones; empty if the cost is not known.
    """

    def __init__(self,
                 entry: Entry,
                 seeds: Sequence[int],
                 iters: Optional[int] = None,
                 fast: bool = False,
                 cost: Optional[float] = None,
                 cache: Optional[Dict[str, Any]] = None,
                 longer: Optional[int] = None) -> None:
        if cache and entry.teacher is None:
            raise ConfigError(f'{entry.name!r} has no teacher to cache')
        self.entry = entry
        self.name = entry.name + ('_cached' if cache else '')
        self.iters = iters
        self.fast = fast
        self.nodes: Dict[str, Node] = {}
        self.tuning_iters = iters or entry.tuning_iters or entry.student.iters
        family = entry.family if entry.teacher_family is None \
            else entry.teacher_family
        trains = entry.teacher is not None and not entry.teacher.weights
        self.teacher = f'{family}teacher' if trains else None
        self.teachers: List[str] = []
        # Runs that give pretrained weights, by what they initialise.
        self._sources: Dict[str, str] = {}
        if entry.pretrained is not None:
            self._add_pretraining()
        # Settings of a distilled model that name its teachers.
        self._frozen: Dict[str, Any] = {}
        if entry.teacher is not None:
            self._add_teacher('teacher', f'{family}teacher', entry.teacher)
        for key, part in entry.more_teachers.items():
            self._add_teacher(key, entry.family + key, part)
        for key, part in entry.first_stages.items():
            self._add_first_stage(key, part)
        for key in ('teacher', *entry.more_teachers):
            self._frozen.update({
                f'model.teachers.{key}.cache.{option}': value
                for option, value in (cache or {}).items()
            })
        self.alone = self._add_students('student', self._alone,
                                        entry.student_grid, seeds, {})
        self.distilled = self._add_students(
            'distilled', self._distilled, entry.distilled_grid, seeds,
            {entry.student_grid.key: ChosenBy('student')})
        self.equal_time = [] if cost is None else self._add_equal_time(
            seeds, cost, longer)

    def length(self, part: Optional[Network]) -> Optional[int]:
        """Iterations that a network trains; None if it comes trained."""
        if part is None or part.weights:
            return None
        return self.iters or part.iters

    def runs(self, work_dir: str) -> Dict[str, Run]:
        """The runs by their folders, without settings that others give."""
        found = [
            _run_of(name, node, work_dir, {})
            for name, node in self.nodes.items()
            if isinstance(node, PlannedRun)
        ]
        return {run.work_dir: run for run in found}

    def _add(self, name: str, node: PlannedRun) -> str:
        self.nodes[name] = node
        return name

    def _plan(self, part: Network, seed: int, options: Dict[str, Any],
              **more: Any) -> PlannedRun:
        settings = {**self.entry.data, 'randomness.seed': seed, **options}
        more.setdefault('iters', self.iters or part.iters)
        return PlannedRun(
            part.config, options=settings, splits=self.entry.splits, **more)

    def _add_pretraining(self) -> None:
        """The networks of another task, from which those of this one start.
        """
        pretrained = self.entry.pretrained
        source = Entry.load(pretrained.entry, pretrained.root
                            or self.entry.root)
        for kind in ('teacher', 'student'):
            if kind == 'student' and pretrained.module:
                self._sources[kind] = self._sources['teacher']
                continue
            part = getattr(source, kind)
            options = {**source.data, 'randomness.seed': 0, **part.options}
            self._sources[kind] = self._add(
                f'{source.family}{kind}',
                PlannedRun(part.config, self.length(part), options,
                           source.splits))
            self.teachers.append(self._sources[kind])

    def _start(self,
               part: Network,
               model: str,
               kind: str = 'teacher') -> Dict[str, Any]:
        """Settings that give a network its pretrained weights."""
        if not part.pretrained:
            return {}
        pretrained = self.entry.pretrained
        path = f'{model}.{pretrained.module}' if pretrained.module else model
        options = {
            f'{path}.init_cfg.type': 'Pretrained',
            f'{path}.init_cfg.checkpoint': WeightsOf(self._sources[kind])
        }
        if pretrained.prefix:
            options[f'{path}.init_cfg.prefix'] = pretrained.prefix
        return options

    def _add_teacher(self, key: str, name: str, part: Network) -> None:
        """A teacher, and the settings that hand it to a distilled model."""
        if part.weights:
            self._frozen[f'model.teachers.{key}.ckpt'] = part.weights
            return
        if _is_distillation(part.config):
            options = {
                **of_student(part.options),
                **self._start(part, 'model.student'),
                **self._frozen
            }
        else:
            options = {**part.options, **self._start(part, 'model')}
        self.teachers.append(self._add(name, self._plan(part, 0, options)))
        self._frozen[f'model.teachers.{key}.ckpt'] = WeightsOf(name)
        if part.options:  # no longer the network of its config
            self._frozen[f'model.teachers.{key}.cfg'] = ConfigOf(name)

    def _add_first_stage(self, key: str, part: Network) -> None:
        """A training on the frozen teacher, and the setting that names its
        checkpoint."""
        name = f'{self.entry.name}_{Path(part.config).stem}'
        options = {
            **part.options, 'model.teacher.ckpt': WeightsOf(self.teacher)
        }
        self.teachers.append(self._add(name, self._plan(part, 0, options)))
        self._frozen[key] = CheckpointOf(name)

    def _alone(self, seed: int, options: Dict[str, Any],
               **more: Any) -> PlannedRun:
        part = self.entry.student
        return self._plan(
            part,
            seed, {
                **part.options,
                **options,
                **self._start(part, 'model', 'student')
            },
            fast=self.fast,
            **more)

    def _distilled(self, seed: int, options: Dict[str, Any],
                   **more: Any) -> PlannedRun:
        """The student with the method, which may do without a teacher."""
        student = self.entry.student
        part = self.entry.distilled
        with_teacher = _is_distillation(part.config)
        own = of_student(student.options) if with_teacher else student.options
        model = 'model.student' if with_teacher else 'model'
        return self._plan(
            part,
            seed, {
                **own,
                **part.options,
                **options,
                **self._start(student, model, 'student'),
                **(self._frozen if with_teacher else {})
            },
            fast=self.fast,
            **more)

    def _add_students(self, kind: str, plan: Callable[..., PlannedRun],
                      grid: Grid, seeds: Sequence[int],
                      recipe: Dict[str, Any]) -> List[str]:
        """Tuning runs, the choice among them, and the runs to report."""
        entry = self.entry
        prefix = f'{entry.family}student' if kind == 'student' else self.name
        tuned = []
        if len(grid.values) > 1:
            tuned = [
                self._add(
                    f'{prefix}_tune_{value:g}',
                    plan(
                        entry.tuning_seed, {
                            **recipe, grid.key: value
                        },
                        iters=self.tuning_iters,
                        split='val')) for value in grid.values
            ]
        self.nodes[kind] = Choice(grid, tuple(tuned))
        recipe = {**recipe, grid.key: ChosenBy(kind)}
        return [
            self._add(
                f'{prefix}_seed{seed}',
                plan(
                    seed,
                    recipe,
                    iters=self.length(entry.student),
                    split=entry.test_split)) for seed in seeds
        ]

    def _add_equal_time(self, seeds: Sequence[int], cost: float,
                        longer: Optional[int]) -> List[str]:
        """Students alone with more iterations of the same schedule."""
        own = self.length(self.entry.student)
        steps = math.ceil(round((cost - 1) / TIME_STEP, 6))
        iters = own + max(0, math.ceil(own * TIME_STEP * steps - 1e-6))
        if longer is not None:
            if not iters <= longer <= 1.1 * iters:
                raise ConfigError(
                    f'{longer} iterations of the student alone are not the '
                    f'time of {own} distilled ones at a cost of {cost:.2f}: '
                    f'it takes {iters}, or up to a tenth more')
            iters = longer
        if iters == own:
            return self.alone
        recipe = {self.entry.student_grid.key: ChosenBy('student')}
        return [
            self._add(
                f'{self.entry.family}student_{iters}_seed{seed}',
                self._alone(
                    seed, recipe, iters=iters, split=self.entry.test_split))
            for seed in seeds
        ]


@lru_cache(None)
def _is_distillation(config: str) -> bool:
    """Whether a config file is that of a distilled model."""
    from mmengine.config import Config

    from mmkd.apis import is_distillation
    return is_distillation(Config.fromfile(config))


def execute(nodes: Dict[str, Node],
            entry: Entry,
            work_dir: str,
            jobs: int,
            only: Optional[Sequence[str]] = None,
            progress: Optional[Progress] = None) -> Dict[str, Any]:
    """Execute a graph; what is done already is not repeated.

    Args:
        nodes (dict[str, PlannedRun | Choice]): The graph.
        entry (Entry): Its metric decides choices.
        work_dir (str): Parent of the runs' work folders.
        jobs (int): Runs that train side by side, with a thread each.
        only (Sequence[str], optional): The nodes to execute, with all that
            they need. Defaults to None: all.
        progress (Progress, optional): Is told of each run. Defaults to None.

    Returns:
        dict[str, Finished | dict]: By the node's name: a run with its
        metrics, or the values, scores and winner of a choice.
    """
    exported = {
        value.run
        for node in nodes.values() if isinstance(node, PlannedRun)
        for value in node.options.values()
        if isinstance(value, (WeightsOf, ConfigOf))
    }
    results: Dict[str, Any] = {}

    def work(name: str) -> Any:
        node = nodes[name]
        if isinstance(node, Choice):
            return _choose(node, [results[run].metrics for run in node.needs],
                           entry.metric)
        run = _run_of(name, node, work_dir, resolved(node, results))
        record_code(run.work_dir, run.done)
        run.train()
        if name in exported:
            _export(run)
        metrics = run.test(node.split) if node.split else {}
        return Finished(run, entry.scaled(metrics))

    if only is not None:
        nodes = {name: nodes[name] for name in only}
    needs = {name: node.needs for name, node in nodes.items()}
    for name, result in _in_order(needs, work, jobs):
        results[name] = result
        if progress is not None and isinstance(result, Finished):
            progress.update(result.run)
    return results


def _run_of(name: str, node: PlannedRun, work_dir: str,
            options: Dict[str, Any]) -> Run:
    return Run(
        name,
        node.config,
        f'{work_dir}/{name}',
        node.iters,
        options,
        threads=1,
        splits=node.splits,
        fast=node.fast)


def _in_order(needs: Dict[str, Sequence[str]], work: Callable[[str], Any],
              jobs: int) -> Iterator[Tuple[str, Any]]:
    """Work through a graph side by side; yields names and results.

    The first error stops it: what runs is finished, nothing else begins.

    Args:
        needs (dict[str, Sequence[str]]): What each name waits for.
        work (Callable): Is called with a name in a thread, once the results
            of all that it waits for have been yielded.
        jobs (int): Threads.

    Raises:
        ValueError: If names wait for each other, or for an unknown one.
    """
    waiting, running, done = dict(needs), {}, set()
    pool = ThreadPoolExecutor(jobs)
    try:
        while waiting or running:
            ready = [name for name in waiting if done.issuperset(needs[name])]
            for name in ready:
                del waiting[name]
                running[pool.submit(partial(work, name))] = name
            if not running:
                raise ValueError(f'{sorted(waiting)} wait for each other')
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                yield name, future.result()
                done.add(name)
    finally:
        pool.shutdown(cancel_futures=True)


def resolved(node: PlannedRun, results: Dict[str, Any]) -> Dict[str, Any]:
    """The settings of a run, once the nodes that it needs are done."""
    return {
        key: _resolved(value, results)
        for key, value in node.options.items()
    }


def _resolved(value: Any, results: Dict[str, Any]) -> Any:
    """A setting, where another node has to give it."""
    if isinstance(value, WeightsOf):
        return _weights(results[value.run].run)
    if isinstance(value, CheckpointOf):
        return results[value.run].run.checkpoint
    if isinstance(value, ConfigOf):
        return _weights(results[value.run].run).replace('.pth', '.py')
    if isinstance(value, ChosenBy):
        return results[value.choice]['chosen']
    return value


def _weights(run: Run) -> str:
    """The exported weights of a run."""
    return f'{run.work_dir}/export/student.pth'


def _export(run: Run) -> None:
    """Write weights and config of a run as those of a plain network."""
    from mmkd.apis import export_student
    path = Path(_weights(run))
    if not path.is_file():
        # With the settings of the run, as the runner wrote them down.
        config = Path(run.work_dir) / Path(run.config).name
        export_student(str(config), run.checkpoint, str(path.parent))


def _choose(choice: Choice, found: List[Dict[str, float]],
            metric: str) -> Dict[str, Any]:
    """The candidate with the highest score, as plain data."""
    values = list(choice.grid.values)
    scores = [metrics[metric] for metrics in found]
    best = scores.index(max(scores)) if scores else 0
    return dict(
        key=choice.grid.key,
        values=values,
        validation=scores,
        chosen=values[best])
