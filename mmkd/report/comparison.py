"""Comparing the runs of students with and without distillation."""
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Optional, Sequence

from mmengine.config import Config

from mmkd.core.network import network_config
from mmkd.engine.configs import student_only
from mmkd.errors import CheckpointError, ConfigError, MMKDError
from mmkd.report.evaluation import Evaluation, check_split, evaluate
from mmkd.report.groups import Group, check_comparable, differences, group_runs
from mmkd.report.metrics import common, decisive, describe
from mmkd.report.pictures import Row, rows
from mmkd.report.runs import RecordedRun, read_run
from mmkd.report.statistics import Gain, gain
from mmkd.utils.config import official_weights
from mmkd.utils.suggestions import did_you_mean


@dataclass
class Comparison:
    """Runs with and without distillation, side by side.

    Attributes:
        groups (list[Group]): Runs by config; the first is the baseline.
        split (str | None): Split of the data that the metrics belong to; None
            for the last validations in the logs.
        metric (str): The metric that decides.
        teachers (dict[str, Evaluation]): Tests of the teachers that see the
            student's data.
        notes (list[str]): What is missing, and why.
        pictures (list[Row]): The images that differ most.
    """
    groups: List[Group]
    split: Optional[str]
    metric: str
    teachers: Dict[str, Evaluation] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)
    pictures: List[Row] = field(default_factory=list)

    @property
    def baseline(self) -> Group:
        """The group that the others are compared with."""
        return self.groups[0]

    @property
    def best(self) -> Group:
        """The other group with the best mean of the deciding metric."""
        lower = describe(self.metric).lower

        def rank(group: Group) -> float:
            mean = self.gain(group, self.metric).mean
            return -mean if lower else mean

        distilled = [group for group in self.groups[1:] if group.distils]
        return max(distilled or self.groups[1:], key=rank)

    def gain(self, group: Group, key: str) -> Gain:
        """Gain of a group over the baseline in a metric, in its own unit."""
        base, other = (
            part.by_seed([metrics[key] for metrics in part.metrics()])
            for part in (self.baseline, group))
        return gain(base, other)

    def gain_of_part(self, group: Group, kind: str, name: str) \
            -> Optional[Gain]:
        """Gain of a group in a class or a size.

        Args:
            group (Group): The group.
            kind (str): ``'per_class'`` or ``'per_size'``.
            name (str): The class or the size.

        Returns:
            Gain | None: None if a run has no such value.
        """
        parts = []
        for side in (self.baseline, group):
            values = [
                getattr(found, kind).get(name) for found in side.evaluations
            ]
            if None in values or not values:
                return None
            parts.append(side.by_seed(values))
        return gain(*parts)

    @property
    def keys(self) -> List[str]:
        """The metrics that all runs have."""
        return common(metrics for group in self.groups
                      for metrics in group.metrics())


def compare(folders: Sequence[str],
            split: str = 'test',
            test: bool = True,
            images: int = 4,
            metric: Optional[str] = None) -> Comparison:
    """Compare the students of runs.

    Args:
        folders (Sequence[str]): Work folders of at least two runs, of mmkd or
            of mmengine alone. Runs of one config with different seeds are
            one group; plain runs are the baseline.
        split (str): ``'val'`` or ``'test'``. Defaults to ``'test'``.
        test (bool): Whether to test the last checkpoints; otherwise the
            comparison takes the last validation of each log. Defaults to
            True.
        images (int): Number of images to draw. Defaults to 4.
        metric (str, optional): The metric that decides. Defaults to None: the
            main one of the task, such as mIoU or COCO's mAP.

    Raises:
        ConfigError: If the folders are no runs, or not comparable.
        CheckpointError: If a checkpoint is missing or does not fit.
    """
    runs = [read_run(folder) for folder in dict.fromkeys(folders)]
    if len(runs) < 2:
        raise ConfigError('a comparison needs the folders of two runs')
    split = split if test else 'val'
    for run in runs:
        check_split(run.config, split)
    check_comparable(runs, split)
    groups = group_runs(runs)
    result = Comparison(groups, split if test else None, '')
    if test:
        for group in groups:
            group.evaluations = [_evaluate(run, split) for run in group.runs]
    _choose_metric(result, metric)
    if test:
        _test_teachers(result, split)
        best = result.best
        result.pictures = rows(
            {
                result.baseline.name: result.baseline.evaluations[0],
                best.name: best.evaluations[0],
                **result.teachers
            }, images)
    return result


def _evaluate(run: RecordedRun, split: str) -> Evaluation:
    if run.checkpoint is None:
        raise CheckpointError(f'{run.folder} has no checkpoint; with '
                              '--no-evaluate, its log is enough')
    print(f'testing {run.checkpoint}')
    return evaluate(run.config, run.checkpoint, split)


def _choose_metric(result: Comparison, given: Optional[str]) -> None:
    keys = result.keys
    if not keys:
        raise ConfigError('the runs have no metric in common; the logs hold '
                          'no validation that all of them reached')
    if given is not None and given not in keys:
        raise ConfigError(f'there is no metric {given!r}. '
                          f'{did_you_mean(given, keys)} There are: '
                          f'{", ".join(keys[:12])}')
    result.metric = given or decisive(keys)


def _test_teachers(result: Comparison, split: str) -> None:
    """Test the teachers of the best distillation."""
    run = result.best.runs[0]
    teachers = run.config.model.get('teachers') or {} if run.distillers else {}
    for name, teacher in teachers.items():
        title = 'teacher' if len(teachers) == 1 else name
        try:
            plain = _teacher_config(run.config, teacher)
            if plain is None:
                result.notes.append(
                    f'The {title} was not tested: that is done for teachers '
                    'of mmseg and mmdet with weights and the same classes.')
                continue
            ckpt = teacher.get('ckpt')
            if ckpt == 'official':
                ckpt = official_weights(teacher['cfg'])
            print(f'testing the {title}')
            result.teachers[title] = evaluate(plain, ckpt, split)
        except MMKDError as error:
            result.notes.append(f'The {title} was not tested: {error}.')


def _teacher_config(cfg: Config, teacher: dict) -> Optional[Config]:
    """The student's config with the teacher in its place.

    None if the teacher has no weights, takes other inputs or has other
    classes.
    """
    if teacher.get('ckpt') in (None, 'random'):
        return None
    model, scope = network_config(teacher['cfg'], 'the teacher')
    plain = student_only(cfg, keep_metrics=True)
    own = plain.get('default_scope')
    if own not in ('mmseg', 'mmdet') or scope not in (None, own):
        return None
    if _num_classes(model) != _num_classes(plain.model):
        return None
    plain.model = model
    plain.pop('data_preprocessor', None)
    return plain


def _num_classes(model: Any) -> Optional[int]:
    """The first number of classes in the config of a model."""
    if isinstance(model, dict):
        if 'num_classes' in model:
            return model['num_classes']
        model = list(model.values())
    if isinstance(model, (list, tuple)):
        for part in model:
            found = _num_classes(part)
            if found is not None:
                return found
    return None


def as_json(result: Comparison) -> Dict[str, Any]:
    """A comparison as plain data, without pictures."""
    from mmkd import __version__

    def tested(evaluation: Evaluation) -> Dict[str, Any]:
        return dict(
            metrics=evaluation.metrics,
            per_class=evaluation.per_class,
            per_size=evaluation.per_size,
            cost=asdict(evaluation.cost))

    groups = []
    for group in result.groups:
        runs = []
        for i, run in enumerate(group.runs):
            entry = dict(
                folder=run.folder,
                seed=run.seed,
                checkpoint=run.checkpoint,
                iterations=run.iterations,
                seconds=run.seconds,
                step_seconds=run.step_seconds,
                memory_mb=run.memory,
                metrics=group.metrics()[i])
            if group.evaluations:
                entry.update(tested(group.evaluations[i]))
            runs.append(entry)
        content: Dict[str, Any] = dict(name=group.name, runs=runs)
        if group is not result.baseline:
            content['gain'] = {
                key: {
                    **asdict(result.gain(group, key)), 'significant':
                    result.gain(group, key).significant
                }
                for key in result.keys
            }
            content['settings'] = [
                dict(key=key, alone=left, here=right)
                for key, left, right in differences(
                    result.baseline.runs[0].config, group.runs[0].config)
            ]
        groups.append(content)
    return dict(
        mmkd=__version__,
        split=result.split,
        metric=result.metric,
        groups=groups,
        teachers={
            name: tested(found)
            for name, found in result.teachers.items()
        },
        images=[
            dict(name=row.name, scores=row.scores) for row in result.pictures
        ],
        notes=result.notes)
