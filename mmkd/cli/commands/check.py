"""Check a config and its data, without training.

Reads a few hundred samples, compares the classes of data and heads, and lets a
validation and a training batch go through the networks. Exits with 2 if
something is wrong. A shorter form of it precedes every training.
"""
import argparse

from mmkd.cli.options import (CONFIG, add_cfg_options, add_device, add_file,
                              only_results, read)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_file(parser, 'config', help=f'a plain run or a distillation: {CONFIG}')
    parser.add_argument(
        '--samples',
        type=int,
        default=200,
        help='number of samples to read of each data set, evenly spaced; '
        'default: 200')
    add_cfg_options(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Check, and list what was checked."""
    from mmkd import apis
    from mmkd.errors import ConfigError, UsageError
    if args.samples < 1:
        raise UsageError(f'--samples {args.samples}: at least 1')
    with only_results(args):
        report = apis.check(read(args), args.samples)
    if not args.quiet:
        for name, passed, what in report.rows:
            print(f'{"ok" if passed else "WRONG":<6}{name:<20}{what}'.rstrip())
        for text in report.warnings:
            print(f'warning: {text}')
    if report.problems:
        raise ConfigError(*report.problems)
