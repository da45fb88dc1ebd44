"""Train with a config: a distillation or a plain model.

In several processes: torchrun --nproc_per_node 2 -m mmkd train CONFIG
--launcher pytorch, or tools/dist_train.sh.
"""
import argparse
import os.path as osp
import shlex
from typing import TYPE_CHECKING

from mmkd.cli.options import (CONFIG, add_file, add_train_options, for_runner,
                              name_of, quietly)
from mmkd.utils.collector import paused_collector

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_file(parser, 'config', help=CONFIG)
    add_train_options(parser)


def run(args: argparse.Namespace) -> None:
    """Train."""
    from mmkd.utils.config import read_config
    with quietly(args), paused_collector():
        cfg = for_runner(read_config(args.config), args, name_of(args.config))
    with quietly(args):
        runner = train(cfg, args)
    report(runner, args.quiet)


def train(cfg: 'Config', args: argparse.Namespace) -> 'Runner':
    """Apply the options of a training, and train."""
    from mmkd import apis
    from mmkd.engine.label_free import expand_label_free
    expand_label_free(cfg)  # before what changes its optimiser
    if args.fast:
        apis.use_fast_student(cfg)
    elif args.amp:
        apis.use_amp(cfg)
    if args.pictures is not None:
        cfg.custom_hooks = [
            *(cfg.get('custom_hooks') or []),
            dict(
                type='mmkd.DistillationVisualizationHook',
                interval=args.pictures)
        ]
    if args.resume == 'auto':
        _resume_last(cfg, args.launcher)
    elif args.resume:
        cfg.resume, cfg.load_from = True, args.resume
    return apis.train(cfg)


def _resume_last(cfg: 'Config', launcher: str) -> None:
    """Resume from the last checkpoint in the work folder; if there is none,
    the run starts as its config says."""
    from mmkd.engine.checkpoints import last_checkpoint
    from mmkd.engine.processes import is_first
    if not cfg.get('load_from') or last_checkpoint(cfg.work_dir):
        cfg.resume, cfg.load_from = True, None
    elif is_first(launcher):
        print(f'no checkpoint in {cfg.work_dir} to resume from; training '
              f'starts from the weights of {cfg.load_from}')


def report(runner: 'Runner', quiet: bool = False) -> None:
    """Print the last validation, the checkpoints, and how to export one."""
    from mmkd.engine.checkpoints import last_checkpoint
    from mmkd.evaluation.kitti_summary import kitti_summary
    if runner.rank != 0:
        return
    hub = runner.message_hub
    metrics = {
        key.split('/', 1)[1]: buffer.current()
        for key, buffer in hub.log_scalars.items()
        if key.startswith('val/') and not key.endswith('time')
    }
    summary = kitti_summary(metrics)
    if summary and quiet:  # otherwise the log has printed it
        print(f'last validation: {summary}')
    elif 0 < len(metrics) <= 12 and not summary:
        print('last validation: ' + ', '.join(f'{k} {v:.4g}'
                                              for k, v in metrics.items()))
    last = last_checkpoint(runner.work_dir)
    best = [
        path for key, path in hub.runtime_info.items()
        if key.startswith('best_ckpt') and path and osp.exists(path)
    ]
    for path in best:
        print(f'best checkpoint: {path}')
    if last:
        print(f'last checkpoint: {last}')
    # The next stage reads a checkpoint without a student as it is.
    if (best or last) and not quiet and 'rewriter' not in runner.cfg.model:
        command = ['mmkd', 'export', _config_of(runner), (best or [last])[0]]
        if runner.cfg.model.get('label_free'):
            command += ['--part', 'backbone']
        print('export it with: ' + shlex.join(command))


def _config_of(runner: 'Runner') -> str:
    """The file to export from: the full config if the options of the command
    are only in that one; without labels the short one, which still has the
    student's own data."""
    given = runner.cfg.filename
    names = [f'{name_of(given)}_full.py', f'{name_of(given)}.py']
    if runner.cfg.model.get('label_free'):
        names.reverse()
    for name in names:
        path = osp.join(runner.work_dir, name)
        if osp.isfile(path):
            return path
    return given
