"""Evaluate a student with the metrics of its config.

Needs no teachers.
"""
import argparse
import os
import os.path as osp

from mmkd.cli.options import (CONFIG, add_file, add_run_options, for_runner,
                              name_of, quietly)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_file(parser, 'config', help=f'that of its training: {CONFIG}')
    add_file(parser, 'checkpoint', help='a checkpoint or an exported student')
    add_run_options(parser)
    add_file(parser, '--out', help='write the metrics to this JSON file')


def run(args: argparse.Namespace) -> None:
    """Evaluate."""
    from mmengine.dist import is_main_process

    from mmkd import apis
    from mmkd.engine.records import check_output
    from mmkd.evaluation.kitti_summary import kitti_summary
    from mmkd.utils.config import read_config
    from mmkd.utils.table import format_table
    with quietly(args):
        cfg = for_runner(read_config(args.config), args, name_of(args.config))
        if args.out:
            check_output(args.out, args.config, args.checkpoint)
        metrics = apis.test(cfg, args.checkpoint)
    if not (args.out or args.quiet) or not is_main_process():
        return
    metrics = {key: float(value) for key, value in metrics.items()}
    if args.quiet:  # otherwise they are in the log
        print(
            kitti_summary(metrics)
            or format_table(['metric', 'value'],
                            [[k, f'{v:.4g}'] for k, v in metrics.items()]))
    if args.out:
        from mmengine.fileio import dump
        os.makedirs(osp.dirname(osp.abspath(args.out)), exist_ok=True)
        dump(metrics, args.out, file_format='json')
