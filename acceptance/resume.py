#!/usr/bin/env python
"""Does a killed and resumed run end like an uninterrupted one?

    acceptance/resume.py                  # 20 moments
    acceptance/resume.py --moments 100

Small distillation runs (mmseg, 12 iterations that each save a checkpoint) are
killed with SIGKILL at random moments, every other one while a checkpoint is
being written, and resumed. Every number of the last checkpoint must be bit for
bit that of the uninterrupted run: weights, averages, connectors, optimiser,
schedules, histories of the losses, RNG states, position in the data. Further
cases damage checkpoints and fill the disk.
"""
import copy
import functools
import multiprocessing
import os
import os.path as osp
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

os.environ.setdefault('OMP_NUM_THREADS', '1')

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmcv.transforms import BaseTransform  # noqa: E402
from mmengine.config import Config  # noqa: E402
from mmengine.registry import TRANSFORMS  # noqa: E402

from acceptance.common import finish, make_parser  # noqa: E402
from mmkd import apis, testing  # noqa: E402
from mmkd.engine.checkpoints import checkpoints  # noqa: E402
from mmkd.engine.checkpoints import last_checkpoint  # noqa: E402
from mmkd.utils.checkpoint import read_file  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

LAST = 12
EPOCHS = {
    'train_cfg':
    dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=3),
    'train_dataloader.num_workers':
    2,
    'train_dataloader.sampler':
    dict(_delete_=True, type='DefaultSampler', shuffle=True),
    'param_scheduler': [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=4),
        dict(
            type='ReduceOnPlateauLR',
            monitor='mIoU',
            rule='greater',
            patience=0)
    ],
    'default_hooks.checkpoint.by_epoch':
    True,
    'log_processor.by_epoch':
    True,
    'default_hooks.logger.log_metric_by_epoch':
    True,
}
#: The settings of the runs.
RECIPES: Dict[str, Dict[str, Any]] = {
    # Data loading in the main process; accumulated gradients.
    'iterations': {
        'optim_wrapper.accumulative_counts': 3
    },
    'workers': {
        'train_dataloader.num_workers': 2,
        'train_dataloader.persistent_workers': True
    },
    'passes': {
        'train_dataloader.num_workers': 2,
        'train_dataloader.persistent_workers': True,
        'train_dataloader.sampler': dict(type='DefaultSampler', shuffle=True)
    },
    # Without workers, mmengine's sampler hook comes before the first batch.
    'finite': {
        'train_dataloader.sampler': dict(type='DefaultSampler', shuffle=True)
    },
    'epochs': EPOCHS,
    'memory': {
        'train_dataloader.num_workers': 2,
        'train_dataloader.dataset.pipeline.3': dict(type='MixWithTheLast'),
    },
}


@TRANSFORMS.register_module(force=True)
class MixWithTheLast(BaseTransform):
    """A transform that remembers: it averages this image and the last."""

    def __init__(self) -> None:
        self.last: Optional[Any] = None

    def transform(self, results: dict) -> dict:
        """Mix the image with the last one, and remember it."""
        image = results['img']
        if self.last is not None:
            results['img'] = image // 2 + self.last // 2
        self.last = image
        return results


def make_config(recipe: str,
                data_root: str,
                work_dir: str,
                last: int = LAST) -> Config:
    """The config of a run that uses everything a checkpoint must store.

    Args:
        recipe (str): A key of :data:`RECIPES`.
        data_root (str): Folder of the images.
        work_dir (str): Folder of the run.
        last (int): Iterations, unless it trains by epochs. Defaults to 12.
    """
    cfg = testing.segmentation_config(
        data_root,
        work_dir,
        max_iters=last,
        optim_wrapper__optimizer=dict(
            _delete_=True, type='AdamW', lr=0.01, weight_decay=0.05),
        train_cfg__val_interval=4,
        default_hooks__checkpoint__interval=1,
        default_hooks__checkpoint__max_keep_ckpts=3,
        default_hooks__checkpoint__save_best='mIoU',
        custom_hooks=[dict(type='EMAHook', momentum=0.3)])
    cfg.train_dataloader.dataset.pipeline.insert(
        3, dict(type='PhotoMetricDistortion'))
    norm = dict(type='ConvConnector', norm_cfg=dict(type='BN'))
    places = dict(student='backbone[1:4]', teacher='backbone[1:4]')
    cfg = testing.distillation_config(
        cfg,
        dict(
            cwd=dict(
                type='CWD',
                place='stages',
                connector=norm,
                loss_weight=dict(value=5., warmup=6),
                **places),
            # Masks are drawn at random.
            mgd=dict(
                type='MGD',
                student='backbone[3]',
                teacher='backbone[3]',
                loss_weight=0.1)))
    cfg.merge_from_dict(copy.deepcopy(RECIPES[recipe]))
    return cfg


def train(cfg: Config, log: str) -> 'multiprocessing.Process':
    """Start a run in a separate process."""

    def work() -> None:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        run(start)

    def start() -> None:
        # Formatting the config takes longer than training.
        apis.train(Config(cfg.to_dict(), format_python_code=False))

    process = multiprocessing.get_context('fork').Process(target=work)
    process.start()
    return process


def finish_run(cfg: Config, log: str) -> int:
    """Resume a run, or start it, and wait for it to end."""
    cfg.resume = True
    process = train(cfg, log)
    process.join()
    return process.exitcode


class Trial:
    """Runs of one recipe, compared with an uninterrupted one.

    Args:
        recipe (str): A key of :data:`RECIPES`.
        folder (str): Folder for the runs.
        data_root (str): Folder of the images.
        last (int): Iterations, unless it trains by epochs. Defaults to 12.
    """

    def __init__(self,
                 recipe: str,
                 folder: str,
                 data_root: str,
                 last: int = LAST) -> None:
        self.kind = 'epoch' if recipe == 'epochs' else 'iter'
        self.last = 3 if recipe == 'epochs' else last
        self.recipe, self.folder = recipe, folder
        self.data_root = data_root
        began = time.time()
        cfg = self.config('whole')
        code = finish_run(cfg, f'{folder}/{recipe}.log')
        if code:
            with open(f'{folder}/{recipe}.log', encoding='utf-8') as file:
                raise RuntimeError(f'{recipe} fails: {file.read()[-2000:]}')
        self.seconds = time.time() - began
        self.expected = read_file(last_checkpoint(cfg.work_dir))

    def config(self, name: str) -> Config:
        """Config of a run in its own folder, which is emptied."""
        work_dir = osp.join(self.folder, self.recipe, name)
        shutil.rmtree(work_dir, ignore_errors=True)
        return make_config(self.recipe, self.data_root, work_dir, self.last)

    def compare(self, cfg: Config, log: str) -> Dict[str, Any]:
        """Finish a run and compare its last checkpoint."""
        code = finish_run(cfg, log)
        if code:
            with open(log, encoding='utf-8', errors='replace') as file:
                return dict(passed=False, error=file.read()[-500:])
        last = osp.join(cfg.work_dir, f'{self.kind}_{self.last}.pth')
        found = list(testing.differences(self.expected, read_file(last)))
        return dict(passed=not found, differs=found[:5])

    def kill(self, number: int, dice: random.Random) -> Dict[str, Any]:
        """Kill a run at a random moment, resume it, and compare."""
        saving = bool(number % 2)
        while True:
            cfg = self.config(f'killed{number}')
            log = f'{self.folder}/{self.recipe}_{number}.log'
            after = dice.randrange(self.last)
            delay = dice.random() * self.seconds / self.last
            process = train(cfg, log)
            reached = osp.join(cfg.work_dir, f'{self.kind}_{after}.pth')

            def written() -> bool:
                return any(Path(
                    cfg.work_dir).glob(f'{self.kind}_*.part')) or False

            _wait(process, lambda: not after or osp.exists(reached))
            if saving:
                _wait(process, written)
            else:
                time.sleep(delay)
            process.kill()
            process.join()
            if process.exitcode == -signal.SIGKILL:
                break
            if process.exitcode:
                with open(log, encoding='utf-8') as file:
                    raise RuntimeError(f'it fails: {file.read()[-2000:]}')
            # It finished before it was killed.
        found = dict(
            case=f'{self.recipe} killed',
            after=len(checkpoints(cfg.work_dir))
            and osp.basename(checkpoints(cfg.work_dir)[0]) or 'nothing',
            while_saving=written())
        found.update(self.compare(cfg, log))
        shutil.rmtree(cfg.work_dir)
        return found

    def damage(self, name: str, spoil: Callable[[str], None],
               says: str) -> Dict[str, Any]:
        """Damage the last checkpoint of a stopped run, resume it, compare.

        Args:
            name (str): Name of the case.
            spoil (Callable): Function that damages the file at a path.
            says (str): Text that the log must contain.
        """
        cfg = self.config(name)
        log = f'{self.folder}/{name}.log'
        process = train(cfg, log)
        _wait(
            process, lambda: osp.exists(
                osp.join(cfg.work_dir, f'{self.kind}_{self.last // 2}.pth')))
        process.kill()
        process.join()
        spoil(last_checkpoint(cfg.work_dir))
        found = dict(case=name, **self.compare(cfg, log))
        with open(log, encoding='utf-8', errors='replace') as file:
            if says not in file.read():
                found.update(passed=False, error=f'the log lacks {says!r}')
        return found

    def fill_disk(self) -> Dict[str, Any]:
        """Fill the disk in the middle of a run, make room, and resume."""
        name = 'full disk'
        if os.geteuid():
            return dict(case=name, passed=True, skipped='root mounts the disk')
        cfg = self.config('disk')
        log = f'{self.folder}/disk.log'
        size = osp.getsize(
            last_checkpoint(osp.join(self.folder, self.recipe, 'whole')))
        os.makedirs(cfg.work_dir)
        mounted = subprocess.run([
            'mount', '-t', 'tmpfs', '-o', f'size={int(3.5 * size)}', 'tmpfs',
            cfg.work_dir
        ],
                                 capture_output=True,
                                 text=True)
        if mounted.returncode:
            return dict(case=name, passed=True, skipped=mounted.stderr.strip())
        try:
            code = finish_run(cfg, log)
            with open(log, encoding='utf-8') as file:
                said = file.read().strip().splitlines()[-1]
            kept = checkpoints(cfg.work_dir)
            good = (
                code == 1 and 'No space left' in said and 'make room' in said
                and kept and all(read_file(path) for path in kept)
                and not list(Path(cfg.work_dir).glob('*.part')))
            subprocess.run(['mount', '-o', 'remount,size=1g', cfg.work_dir],
                           check=True)
            found = self.compare(cfg, log)
            found['passed'] = bool(found['passed'] and good)
            return dict(
                case=name,
                said=said.replace(cfg.work_dir, 'work_dir'),
                kept=len(kept),
                **found)
        finally:
            subprocess.run(['umount', cfg.work_dir], check=True)


def _wait(process: 'multiprocessing.Process', until: Callable[[],
                                                              bool]) -> None:
    while process.is_alive() and not until():
        time.sleep(0.001)


def _truncate(share: float) -> Callable[[str], None]:
    return lambda path: os.truncate(path, int(share * osp.getsize(path)))


def _flip(path: str) -> None:
    """Change one bit of a weight."""
    with open(path, 'r+b') as file:
        file.seek(osp.getsize(path) // 2)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


DAMAGES = {
    'empty': _truncate(0),
    'cut in the middle': _truncate(0.5),
    'cut at the end': _truncate(0.999),
    'one bit': _flip,
}


def _warm_up() -> None:
    """Do expensive initialisation once, before processes are forked."""
    from mmengine.runner import runner
    from mmseg.utils import register_all_modules

    import mmkd.core  # noqa: F401
    import mmkd.engine.hooks  # noqa: F401
    import mmkd.methods  # noqa: F401
    register_all_modules(init_default_scope=False)
    # It queries the versions of compilers.
    runner.collect_env = functools.cache(runner.collect_env)
    runner.collect_env()


def main(argv: Optional[List[str]] = None) -> int:
    """Run all cases."""
    parser = make_parser('resume', __doc__)
    parser.add_argument('--moments', type=int, help='to kill at; 20')
    parser.add_argument('--seed', type=int, default=0, help='of the moments')
    args = parser.parse_args(argv)
    recipes = ['workers'] if args.short else list(RECIPES)
    moments = args.moments or (2 if args.short else 20)
    dice = random.Random(args.seed)
    cases = []
    _warm_up()
    with tempfile.TemporaryDirectory() as folder:
        root = testing.write_cityscapes(f'{folder}/data')
        last = 6 if args.short else LAST
        trials = [Trial(name, folder, root, last) for name in recipes]

        def note(case: Dict[str, Any]) -> None:
            print(case, flush=True)
            cases.append(case)

        for number in range(moments):
            # Every other run is killed while it saves.
            trial = trials[number // 2 % len(trials)]
            note(trial.kill(number, dice))
        if not args.short:
            for name, spoil in DAMAGES.items():
                note(trials[0].damage(name, spoil, 'the one before is tried'))
            note(trials[0].fill_disk())
    killed = [case for case in cases if 'killed' in case['case']]
    return finish(
        args,
        cases,
        moments_killed=len(killed),
        moments_survived=sum(case['passed'] for case in killed))


if __name__ == '__main__':
    sys.exit(main())
