"""Fill, list, verify or prune the cache of a teacher.

A teacher with a cache (cache=dict(dir='cache/') in its config, or `mmkd
distill --cache`) computes each input once. `fill` does so before training,
`info` lists the folders of a cache, `verify` compares checksums and computes
some entries again, and `prune` removes folders of teachers that are no longer
used. docs/cache.md explains it.
"""
import argparse
import os.path as osp
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Iterator, Optional

from mmkd.cli.options import (add_cfg_options, add_device, add_file, add_seed,
                              only_results, with_options)
from mmkd.errors import UsageError

if TYPE_CHECKING:
    from mmengine.runner import Runner


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        'action',
        choices=('fill', 'info', 'verify', 'prune'),
        metavar='{fill,info,verify,prune}',
        help='what to do')
    add_file(
        parser,
        'path',
        help='fill, verify: the config of the distillation; info, prune: the '
        'folder of the cache')
    parser.add_argument(
        '--passes',
        type=int,
        default=2,
        metavar='N',
        help='fill: how often to read the data, if the cache has no `views`; '
        'default: 2')
    parser.add_argument(
        '--share',
        type=float,
        default=0.01,
        help='verify: share of the samples to compute again; default: 0.01')
    parser.add_argument(
        '--keep',
        nargs='+',
        metavar='ID',
        help='prune: folders to keep, as `info` lists them; all others are '
        'removed')
    parser.add_argument(
        '--max-gb',
        type=float,
        metavar='GB',
        help='prune: remove the oldest folders until the rest is this large')
    parser.add_argument(
        '--amp',
        action='store_true',
        help='fill, verify: for a training with --amp or --fast')
    add_cfg_options(parser)
    add_device(parser)
    add_seed(parser)


def run(args: argparse.Namespace) -> Optional[int]:
    """Do what the action says."""
    return dict(
        fill=_fill, info=_info, verify=_verify, prune=_prune)[args.action](
            args)


def _fill(args: argparse.Namespace) -> None:
    from mmkd.engine.cache.filling import fill
    if args.passes < 1:
        raise UsageError(f'--passes {args.passes}: at least 1')
    with _runner(args) as runner:
        result = fill(runner, args.passes, not args.quiet)
    for name, filled in result.items():
        store = filled.store
        print(f'teacher {name!r}: {filled.new} computed, {filled.there} '
              f'there already; {store.folder}: {len(store)} entries, '
              f'{store.nbytes / 1e9:.3g} GB')
        if not filled.complete:
            print('warning: not all of it could be stored')


def _verify(args: argparse.Namespace) -> int:
    from mmkd.engine.cache.filling import verify
    if not 0 <= args.share <= 1:
        raise UsageError(f'--share {args.share}: from 0 to 1')
    with _runner(args) as runner:
        result = verify(runner, args.share, not args.quiet)
    wrong = 0
    for name, found in result.items():
        wrong += found.damaged + found.different
        print(f'teacher {name!r}: {found.entries} entries intact, '
              f'{found.damaged} damaged; {found.compared} computed again, '
              f'{found.different} differ')
    return 1 if wrong else 0


def _info(args: argparse.Namespace) -> None:
    from mmkd.engine.cache.folders import folders_of
    from mmkd.utils.table import format_table
    rows = []
    for folder in folders_of(args.path):
        about = folder.about
        taps = ', '.join(tap[0] for tap in about.get('taps', []))
        rows.append([
            folder.name,
            about.get('network', '?'), taps,
            about.get('stored', '?'), folder.entries,
            f'{folder.nbytes / 1e9:.3g}'
        ])
    print(
        format_table(['folder', 'teacher', 'taps', 'type', 'entries', 'GB'],
                     rows))


def _prune(args: argparse.Namespace) -> None:
    from mmkd.engine.cache.folders import prune
    if args.keep is None and args.max_gb is None:
        raise UsageError('prune needs --keep or --max-gb')
    for folder in prune(args.path, args.keep, args.max_gb):
        print(f'removed {folder.path}: {folder.entries} entries, '
              f'{folder.nbytes / 1e9:.3g} GB')


@contextmanager
def _runner(args: argparse.Namespace) -> Iterator['Runner']:
    """The runner of a config, without a work folder of its own."""
    from mmkd import apis
    from mmkd.utils.config import read_config
    cfg = with_options(read_config(args.path), args)
    if args.amp:
        apis.use_amp(cfg)
    with tempfile.TemporaryDirectory() as folder:
        cfg.work_dir = folder
        # mmengine shares the logs of runners of one name, by default the time.
        cfg.experiment_name = osp.basename(folder)
        with only_results(args):
            runner = apis.build_runner(apis.prepare_training(cfg))
        yield runner
