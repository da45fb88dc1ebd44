"""Reading finished runs from their work folders."""
import glob
import json
import os.path as osp
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from mmengine.config import Config

from mmkd.engine.checkpoints import last_checkpoint
from mmkd.engine.configs import is_distillation
from mmkd.errors import ConfigError
from mmkd.utils.config import read_config

#: Columns of mmengine's log that are no metrics.
_CLOCKS = ('data_time', 'time', 'step', 'iter', 'epoch', 'memory')


@dataclass
class Curve:
    """Logged values over the iterations of a training."""
    iters: List[int] = field(default_factory=list)
    values: List[float] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        """Append a value."""
        self.iters.append(step)
        self.values.append(value)


@dataclass
class RecordedRun:
    """A run, as its work folder describes it.

    Attributes:
        folder (str): The work folder.
        config (Config): The full config that mmengine recorded.
        checkpoint (str | None): The last checkpoint.
        task_loss (Curve): Sum of the losses of the task.
        distillation_losses (dict[str, Curve]): Logged losses of the
            distillers, by name.
        shares (dict[str, Curve]): Shares of the distillers and of the task in
            the gradients at the taps, by name.
        validation (dict[str, Curve]): Metrics of the validations.
        seconds (float): Time of training without validations, over all
            attempts that count.
        step_seconds (float | None): Median time of an iteration.
        memory (float | None): Peak in MiB: of the GPU's memory, or on a CPU
            of the process. None if the log has none.
    """
    folder: str
    config: Config
    checkpoint: Optional[str] = None
    task_loss: Curve = field(default_factory=Curve)
    distillation_losses: Dict[str, Curve] = field(default_factory=dict)
    shares: Dict[str, Curve] = field(default_factory=dict)
    validation: Dict[str, Curve] = field(default_factory=dict)
    seconds: float = 0.0
    step_seconds: Optional[float] = None
    memory: Optional[float] = None

    @property
    def seed(self) -> Optional[int]:
        """Seed in the config; None if mmengine drew one."""
        return (self.config.get('randomness') or {}).get('seed')

    @property
    def distillers(self) -> Dict[str, Any]:
        """Configs of the distillers; empty for a plain run."""
        if not is_distillation(self.config):
            return {}
        return dict(self.config.model.get('distillers') or {})

    @property
    def iterations(self) -> int:
        """The last iteration in the log."""
        curves = (self.task_loss, *self.validation.values())
        return max(curve.iters[-1] for curve in curves if curve.iters)


def read_run(folder: str) -> RecordedRun:
    """Read the log, the config and the checkpoints of a run.

    Runs of mmkd and plain runs of mmengine are read alike. Resumed attempts
    are joined; steps that an attempt repeated count once.

    Args:
        folder (str): The work folder.

    Raises:
        ConfigError: If nothing was trained there.
    """
    if osp.isfile(folder):
        raise ConfigError(f'{folder} is a file; give the work folder of the '
                          f'run, such as {osp.dirname(folder) or "."}')
    if not osp.isdir(folder):
        raise ConfigError(f'there is no folder {folder}')
    logs = sorted(
        glob.glob(
            osp.join(glob.escape(folder), '*', 'vis_data', '*scalars.json')))
    rows: List[Dict[str, Any]] = []
    config = ''
    for log in logs:
        found = _read_log(log)
        trained = [row for row in found if 'loss' in row]
        if not trained:  # a test, or a run that failed at its start
            continue
        first = trained[0]['at']
        rows = [row for row in rows if row['at'] < first] + found
        config = osp.join(osp.dirname(log), 'config.py')
    if not rows or not osp.isfile(config):
        raise ConfigError(
            f'{folder} is not the work folder of a run: it has no log '
            '*/vis_data/scalars.json with losses, and the config beside it')
    run = RecordedRun(folder, read_config(config), last_checkpoint(folder))
    _add_rows(run, rows)
    return run


def _read_log(path: str) -> List[Dict[str, Any]]:
    """The rows of a log; ``at`` is the iteration of each."""
    rows = []
    at = 0
    with open(path, encoding='utf-8', errors='replace') as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:  # cut off when the process was killed
                continue
            if not isinstance(row, dict):
                continue
            # The step of a validation is an epoch in runs by epoch.
            at = max(at, int(row.get('step', 0)))
            rows.append({**row, 'at': at})
    return rows


def _add_rows(run: RecordedRun, rows: List[Dict[str, Any]]) -> None:
    names = tuple(f'{name}.' for name in run.distillers)
    before, times = 0, []
    for row in rows:
        numbers = {
            key: float(value)
            for key, value in row.items() if isinstance(value, (int, float))
        }
        at = row['at']
        if 'loss' not in row:
            for key, value in numbers.items():
                if key not in (*_CLOCKS, 'at'):
                    run.validation.setdefault(key, Curve()).add(at, value)
            continue
        losses = {k: v for k, v in numbers.items() if 'loss' in k}
        task = losses['loss']
        if names:
            task = sum(v for k, v in losses.items()
                       if k.startswith('student.'))
            for key, value in losses.items():
                if key.startswith(names):
                    run.distillation_losses.setdefault(key,
                                                       Curve()).add(at, value)
            for key, value in numbers.items():
                name, _, figure = key.rpartition('.')
                if figure == 'share':
                    name = 'task' if name == 'student' else name
                    run.shares.setdefault(name, Curve()).add(at, value)
        run.task_loss.add(at, task)
        if 'time' in numbers:
            times.append(numbers['time'])
            run.seconds += numbers['time'] * max(at - before, 0)
        if numbers.get('memory'):
            run.memory = max(run.memory or 0.0, numbers['memory'])
        before = at
    if times:
        run.step_seconds = sorted(times)[len(times) // 2]
        # The steps after the last logged one.
        run.seconds += times[-1] * (run.iterations - before)
