"""Find the cause of a loss that became NaN or infinite.

Repeats the forward pass of the iteration and names the first module with a
non-finite output.
"""
import argparse

from mmkd.cli.options import (CONFIG, add_cfg_options, add_device, add_file,
                              quietly, read)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_file(parser, 'config', help=f'that of the run: {CONFIG}')
    add_file(
        parser,
        'file',
        help='from non_finite/ in the work folder of one of your own runs; '
        'the file may run code')
    add_cfg_options(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Repeat the iteration."""
    from mmkd.engine.replay import replay_step
    from mmkd.utils.table import format_table
    with quietly(args):
        replay = replay_step(read(args), args.file)
    rows = [[name, value, replay.saved.get(name)]
            for name, value in replay.terms.items()]
    print(f'iteration {replay.iter}')
    print(format_table(['term', 'here', 'in the run'], rows))
    print('the first module with a non-finite output: '
          f'{replay.module or "none; a loss does"}')
