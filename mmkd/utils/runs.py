"""Resumable series of runs: train, test, store the result."""
import json
import os
import os.path as osp
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from mmkd.errors import MMKDError
from mmkd.utils.config import read_config
from mmkd.utils.files import write_file

_ITER = re.compile(r'Iter\(train\) \[ *(\d+)/(\d+)\].*?eta: (\S+)')
_LOSS = re.compile(r' loss: ([\d.]+)')


def _write_json(path: str, content: Any) -> None:
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    text = json.dumps(content, indent=2) + '\n'
    write_file(path, lambda file: file.write(text.encode()))


def _read_json(path: str) -> Optional[Any]:
    if not osp.isfile(path):
        return None
    with open(path, encoding='utf-8') as file:
        return json.load(file)


class ProgressLine:
    """Shows the progress of trainings: one line on a terminal, a few in a log.

    Parallel trainings share the line of a terminal.
    """
    _lock = threading.Lock()
    _running: Dict[str, str] = {}

    def __init__(self, name: str) -> None:
        self.name = name
        self.terminal = sys.stdout.isatty()
        self.shown = 0

    def update(self, line: str) -> None:
        """Parse a line of mmengine's log."""
        match = _ITER.search(line)
        if not match:
            return
        now, total = int(match[1]), int(match[2])
        loss = _LOSS.search(line)
        loss_text = f' loss {float(loss[1]):.3f}' if loss else ''
        text = f'{self.name} {now}/{total}{loss_text}, {match[3]} left'
        with self._lock:
            self._running[self.name] = text
            if self.terminal:
                shown = ' | '.join(self._running.values())
                print(f'\r{shown[:118]:<118}', end='', flush=True)
            elif now * 5 // total > self.shown:
                self.shown = now * 5 // total
                print(text, flush=True)

    def close(self, text: str) -> None:
        """Print the final line."""
        with self._lock:
            self._running.pop(self.name, None)
            line = f'{self.name:<24} {text}'
            print(f'\r{line:<118}' if self.terminal else line, flush=True)


@dataclass
class Run:
    """One training and its tests; resumed if interrupted.

    Args:
        name (str): Name of the run.
        config (str): Config file.
        work_dir (str): Folder of log, checkpoints and results.
        iters (int): Iterations to train.
        options (dict): Further settings, as ``--cfg-options`` takes them.
        threads (int, optional): Number of threads. Defaults to None: torch's
            default.
        splits (dict[str, dict]): Settings that test on a split. Defaults to
            the config's own test split, the test scenes.
        fast (bool): Whether to train with ``--fast``. Defaults to False.
    """
    name: str
    config: str
    work_dir: str
    iters: int
    options: Dict[str, Any] = field(default_factory=dict)
    threads: Optional[int] = None
    splits: Dict[str, Dict[str,
                           Any]] = field(default_factory=lambda: dict(test={}))
    fast: bool = False

    @property
    def checkpoint(self) -> str:
        """Path of the last checkpoint."""
        return osp.join(self.work_dir, f'iter_{self.iters}.pth')

    @property
    def minutes(self) -> float:
        """Minutes that the training took, over all its attempts."""
        state = _read_json(osp.join(self.work_dir, 'state.json')) or {}
        return state.get('seconds', 0.0) / 60

    @property
    def done(self) -> bool:
        """Whether the training is finished."""
        state = _read_json(osp.join(self.work_dir, 'state.json')) or {}
        return state.get('done', False)

    def settings(self) -> Dict[str, Any]:
        """All settings of the training, as ``--cfg-options`` takes them."""
        return {
            'train_cfg.max_iters': self.iters,
            'train_cfg.val_interval': self.iters,
            'param_scheduler.1.end': self.iters,
            **self._warm_up(),
            **self.options
        }

    def _warm_up(self) -> Dict[str, int]:
        """Settings that end the warm-up within a short training."""
        schedule = read_config(self.config).param_scheduler
        if schedule[0].end < self.iters:
            return {}
        end = self.iters // 2
        return {'param_scheduler.0.end': end, 'param_scheduler.1.begin': end}

    def _call(self, arguments: List[str], progress: ProgressLine,
              log: str) -> None:
        os.makedirs(self.work_dir, exist_ok=True)
        root = osp.abspath(osp.join(osp.dirname(__file__), '../..'))
        env = dict(os.environ)
        env['PYTHONPATH'] = os.pathsep.join(
            [root, *filter(None, [env.get('PYTHONPATH')])])
        # Spinning threads slow each other down if other processes run.
        env.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
        if self.threads:
            env['OMP_NUM_THREADS'] = str(self.threads)
        command = [sys.executable, '-W', 'ignore', '-m', 'mmkd', *arguments]
        path = osp.join(self.work_dir, log)
        tail: List[str] = []
        with open(
                path, 'a', encoding='utf-8') as file, subprocess.Popen(
                    command,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    env=env) as process:
            try:
                for line in process.stdout:
                    file.write(line)
                    file.flush()
                    progress.update(line)
                    tail = (tail + [line.strip()])[-5:]
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            reason = next((t for t in reversed(tail) if 'rror' in t),
                          tail[-1] if tail else '')
            raise MMKDError(f'{self.name} failed: {reason} (the log is '
                            f'{path})')

    def train(self) -> 'Run':
        """Train, unless the training is finished.

        Raises:
            MMKDError: If it fails, or if the folder holds a run with other
                settings.
        """
        state_path = osp.join(self.work_dir, 'state.json')
        settings: Dict[str, Any] = dict(
            config=self.config, options=self.settings())
        if self.fast:
            settings['fast'] = True
        state = _read_json(state_path)
        if state and state['settings'] != json.loads(json.dumps(settings)):
            raise MMKDError(
                f'{self.work_dir} holds a run with other settings; remove it '
                'or choose another folder')
        state = state or dict(settings=settings, seconds=0.0, done=False)
        progress = ProgressLine(self.name)
        if state['done']:
            progress.close(f'done before, {self.minutes:.1f} min')
            return self
        _write_json(state_path, state)
        began = time.time()
        try:
            self._call([
                'train', self.config, '--work-dir', self.work_dir, '--resume',
                *(['--fast'] if self.fast else []), '--cfg-options',
                *_as_options(self.settings())
            ], progress, 'train.log')
            state['done'] = True
        finally:
            state['seconds'] += time.time() - began
            _write_json(state_path, state)
        progress.close(f'trained in {self.minutes:.1f} min')
        return self

    def test(self, split: str = 'test') -> Dict[str, float]:
        """Metrics on a split of the scenes, ``'val'`` or ``'test'``."""
        path = osp.join(self.work_dir, f'{split}.json')
        metrics = _read_json(path)
        if metrics is not None:
            return metrics
        options = {**self.settings(), **self.splits[split]}
        progress = ProgressLine(self.name)
        self._call([
            'test', self.config, self.checkpoint, '--work-dir', self.work_dir,
            '--out', f'{path}.new', '--cfg-options', *_as_options(options)
        ], progress, 'test.log')
        os.replace(f'{path}.new', path)
        metrics = _read_json(path)
        shown = [f'{k} {v:.2f}' for k, v in metrics.items()]
        if len(shown) > 12:  # KITTI has over two hundred metrics.
            shown = [f'{len(shown)} metrics in {path}']
        progress.close(f'{split}: {", ".join(shown)}')
        return metrics


def _as_options(options: Dict[str, Any]) -> List[str]:
    return [f'{key}={value}' for key, value in options.items()]
