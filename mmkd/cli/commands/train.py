"""Train with a config: a distillation or a plain model.

In several processes: torchrun --nproc_per_node 2 -m mmkd train CONFIG
--launcher pytorch, or tools/dist_train.sh.
"""
import argparse
from typing import TYPE_CHECKING

from mmkd.cli.options import (CONFIG, add_file, add_train_options, for_runner,
                              name_of, quietly)

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
    with quietly(args):
        cfg = for_runner(read_config(args.config), args, name_of(args.config))
        runner = train(cfg, args)
    report(runner)


def train(cfg: 'Config', args: argparse.Namespace) -> 'Runner':
    """Apply the options of a training, and train."""
    from mmkd import apis
    if args.amp:
        apis.use_amp(cfg)
    if args.pictures is not None:
        cfg.custom_hooks = [
            *(cfg.get('custom_hooks') or []),
            dict(
                type='mmkd.DistillationVisualizationHook',
                interval=args.pictures)
        ]
    if args.resume == 'auto':
        cfg.resume, cfg.load_from = True, None
    elif args.resume:
        cfg.resume, cfg.load_from = True, args.resume
    return apis.train(cfg)


def report(runner: 'Runner') -> None:
    """Print the last validation and the last checkpoint."""
    from mmkd.engine.checkpoints import last_checkpoint
    if runner.rank != 0:
        return
    metrics = {
        key.split('/', 1)[1]: buffer.current()
        for key, buffer in runner.message_hub.log_scalars.items()
        if key.startswith('val/') and not key.endswith('time')
    }
    if 0 < len(metrics) <= 12:  # KITTI has over a hundred
        print('last validation: ' + ', '.join(f'{k} {v:.4g}'
                                              for k, v in metrics.items()))
    checkpoint = last_checkpoint(runner.work_dir)
    if checkpoint:
        print(f'last checkpoint: {checkpoint}')
