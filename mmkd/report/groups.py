"""Grouping runs by config, and refusing those that are not comparable."""
import json
import os.path as osp
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Optional, Tuple

from mmengine.config import Config

from mmkd.engine.configs import FAST_KEYS, is_distillation
from mmkd.errors import ConfigError
from mmkd.report.evaluation import Evaluation
from mmkd.report.runs import RecordedRun

#: Settings that do not change what is trained.
_ELSEWHERE = ('work_dir', 'resume', 'launcher', 'experiment_name', 'log_level',
              'env_cfg', 'visualizer', 'vis_backends')
#: Settings that a report does not name where they differ: they are compared
#: by other means, or stand once more where they are used.
_UNNAMED = (*_ELSEWHERE, 'log_processor', 'randomness', 'default_hooks',
            'runner_type', 'optim_wrapper', 'custom_hooks', 'custom_imports',
            'model', *FAST_KEYS, 'tta_model', 'tta_pipeline', 'train_pipeline',
            'test_pipeline', 'val_pipeline')
#: What identifies the data and the metrics of a test.
_DATA = ('type', 'data_root', 'ann_file', 'data_prefix', 'indices', 'datasets',
         'dataset', 'split')
_METRIC = ('type', 'metric', 'iou_metrics', 'ann_file', 'prefix')


@dataclass
class Group:
    """Runs of one config with different seeds.

    Attributes:
        name (str): What the report calls it.
        runs (list[RecordedRun]): The runs.
        evaluations (list[Evaluation]): Their tests, in the same order; empty
            if the report only reads logs.
    """
    name: str
    runs: List[RecordedRun]
    evaluations: List[Evaluation] = field(default_factory=list)

    @property
    def distils(self) -> bool:
        """Whether the runs distil."""
        return bool(self.runs[0].distillers)

    @property
    def seconds(self) -> float:
        """Mean training time."""
        return sum(run.seconds for run in self.runs) / len(self.runs)

    def metrics(self) -> List[Dict[str, float]]:
        """The metrics of each run: those of the test, or else the last ones
        of its log."""
        if self.evaluations:
            return [found.metrics for found in self.evaluations]
        return [{
            key: curve.values[-1]
            for key, curve in run.validation.items()
        } for run in self.runs]

    def by_seed(self, values: List[float]) -> Dict[Optional[int], float]:
        """Values of the runs by seed."""
        return dict(zip(self.seeds(), values))

    def seeds(self) -> List[Any]:
        """A key for each run: its seed, or its folder if it has none."""
        return [
            run.folder if run.seed is None else run.seed for run in self.runs
        ]


def group_runs(runs: List[RecordedRun]) -> List[Group]:
    """Group runs by config; the baseline is the first group.

    Plain runs come first. If there are several groups of them, the baseline
    is the one that trained for the shortest time.

    Raises:
        ConfigError: If two runs have the same config and the same seed, or
            if all have the same config.
    """
    found: Dict[str, List[RecordedRun]] = {}
    for run in runs:
        found.setdefault(_identity(run.config), []).append(run)
    groups = []
    for members in found.values():
        seeds: Dict[Any, RecordedRun] = {}
        for run in members:
            if run.seed in seeds and run.seed is not None:
                raise ConfigError(
                    f'{seeds[run.seed].folder} and {run.folder} have the same '
                    f'config and the same seed {run.seed}; leave one out')
            seeds[run.seed] = run
        members.sort(key=lambda run: (run.seed is None, run.seed or 0))
        groups.append(Group(_name(members[0]), members))
    if len(groups) < 2:
        raise ConfigError('all these runs have the same config; give a run to '
                          'compare with as well')
    groups.sort(key=lambda group: (group.distils, group.runs[0].iterations))
    names = [group.name for group in groups]
    for group in groups[1:]:
        if not group.distils and _same_time(group, groups):
            group.name = 'alone, same training time'
        elif names.count(group.name) > 1:
            folder = osp.basename(osp.normpath(group.runs[0].folder))
            group.name += f' ({folder})'
    return groups


def _same_time(group: Group, groups: List[Group]) -> bool:
    """Whether a plain group trained as long as a distillation."""
    return any(
        other.distils and other.seconds and abs(group.seconds / other.seconds -
                                                1) < 0.1 for other in groups)


def _name(run: RecordedRun) -> str:
    kinds = [
        str(distiller.get('type')).split('.')[-1]
        for distiller in run.distillers.values()
    ]
    return ' + '.join(dict.fromkeys(kinds)) or 'alone'


def _identity(config: Config) -> str:
    """What two runs of one config have in common."""
    content = config.to_dict()
    if content.get('resume'):  # where from, not what is trained
        content.pop('load_from', None)
    for key in _ELSEWHERE:
        content.pop(key, None)
    content['randomness'] = {
        k: v
        for k, v in (content.get('randomness') or {}).items() if k != 'seed'
    }
    return json.dumps(content, sort_keys=True, default=str)


def check_comparable(runs: List[RecordedRun], split: str) -> None:
    """Refuse runs that are tested on other data or by other metrics.

    Raises:
        ConfigError: Names two runs, the setting, and both values.
    """
    first, *others = runs
    for other in others:
        for part, keys in (('dataloader', _DATA), ('evaluator', _METRIC)):
            name = f'{split}_{part}'
            settings = [
                dict(_select(run.config.get(name), keys))
                for run in (first, other)
            ]
            for key in sorted({**settings[0], **settings[1]}):
                left, right = (found.get(key) for found in settings)
                if left != right:
                    what = 'data' if part == 'dataloader' else 'metrics'
                    raise ConfigError(
                        f'{first.folder} and {other.folder} are not '
                        f'comparable: they are tested on other {what} '
                        f'({name}{key}: {left!r} and {right!r})')


def _select(value: Any,
            keys: Tuple[str, ...],
            path: str = '') -> Iterator[Tuple[str, Any]]:
    """Settings under some keys, by their dotted paths."""
    if isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            yield from _select(part, keys, f'{path}.{i}')
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in keys:
                continue
            if isinstance(part, (dict, list, tuple)) and key != 'indices':
                inner = part if key != 'data_prefix' else dict(part)
                if key in ('data_prefix', 'iou_metrics', 'metric'):
                    yield f'{path}.{key}', inner
                else:
                    yield from _select(part, keys, f'{path}.{key}')
            else:
                if key in ('data_root', 'ann_file') and isinstance(part, str):
                    part = osp.normpath(part)
                yield f'{path}.{key}', part


def differences(base: Config, other: Config) -> List[Tuple[str, Any, Any]]:
    """Settings in which two runs differ, other than method and teachers.

    Args:
        base (Config): Config of the student alone.
        other (Config): Config of the distillation.

    Returns:
        list[tuple]: Dotted name, value of the first, value of the second.
    """
    left, right = (dict(_flat(_comparable(cfg))) for cfg in (base, other))
    return [(key, left.get(key), right.get(key)) for key in sorted({
        **left,
        **right
    }) if left.get(key) != right.get(key)]


def _comparable(cfg: Config) -> Dict[str, Any]:
    content = cfg.to_dict()
    model = content.get('model') or {}
    wrapper = dict(content.get('optim_wrapper') or {})
    # mmkd's constructor hands the student to the original one.
    own = str(wrapper.get('constructor', '')).startswith('mmkd.')
    inner = wrapper.pop('student_constructor', None)
    if own:
        wrapper.pop('constructor')
        if inner:
            wrapper['constructor'] = inner
    distils = is_distillation(cfg)
    student = model.get('student') if distils else model
    part = model if distils else content
    return dict({
        k: v
        for k, v in content.items() if k not in _UNNAMED
    },
                student=student,
                **{key: part.get(key, False)
                   for key in FAST_KEYS},
                optim_wrapper=wrapper)


def _flat(value: Any, path: str = '') -> Iterator[Tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from _flat(part, f'{path}.{key}' if path else str(key))
    elif isinstance(value, (list, tuple)) and any(
            isinstance(part, (dict, list)) for part in value):
        for i, part in enumerate(value):
            yield from _flat(part, f'{path}.{i}')
    else:
        yield path, list(value) if isinstance(value, tuple) else value
