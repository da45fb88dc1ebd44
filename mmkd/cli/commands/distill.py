"""Distil a teacher into a student, given two configs.

Writes a short config to the work folder, and trains with it.
"""
import argparse
import os.path as osp
import re
import tempfile
from contextlib import ExitStack, nullcontext
from typing import Optional

from mmkd.cli.commands.train import report, train
from mmkd.cli.options import (CONFIG, KeyValues, add_file, add_train_options,
                              for_runner, name_of, quietly)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_file(parser, 'student', help=f'its config: {CONFIG}')
    add_file(parser, '--teacher', required=True, help='its config')
    add_file(
        parser,
        '--teacher-ckpt',
        required=True,
        help="its weights: a file, or 'official' for those its library "
        'publishes')
    parser.add_argument(
        '--method', default='bpkd', help='its name; default: bpkd')
    add_file(
        parser,
        '--import',
        action='append',
        default=[],
        dest='imports',
        metavar='FILE_OR_MODULE',
        help='a file or module that registers a method of your own; a file is '
        'copied to the work folder; may be given several times')
    parser.add_argument(
        '--method-options',
        nargs='+',
        action=KeyValues,
        default={},
        metavar='KEY=VALUE',
        help='arguments of the method')
    parser.add_argument(
        '--config-only',
        action='store_true',
        help='write the config and build the model, but do not train')
    add_train_options(parser)


def run(args: argparse.Namespace) -> None:
    """Write the config and train."""
    name = (f'{re.sub("[^a-z0-9]", "", args.method.lower())}_'
            f'{name_of(args.teacher)}_{name_of(args.student)}')
    args.work_dir = args.work_dir or osp.join('work_dirs', name)
    with quietly(args):
        cfg = for_runner(_write_config(args, name), args, name)
    if args.config_only:
        with quietly(args):
            summary = _summary(cfg)
        print(summary)
        return
    with quietly(args):
        runner = train(cfg, args)
    report(runner, args.quiet)


def _write_config(args: argparse.Namespace, name: str):
    from mmkd import apis
    from mmkd.engine.processes import is_first
    from mmkd.utils.files import only_trainer
    path = osp.join(args.work_dir, f'{name}.py')
    with ExitStack() as stack:
        given = path
        if not is_first(args.launcher):  # one process writes
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            given = osp.join(folder, f'{name}.py')
        elif osp.lexists(osp.join(args.work_dir, '.training')):
            # Not under a run that goes on.
            stack.enter_context(only_trainer(args.work_dir))
        cfg = apis.write_distillation_config(args.student, args.teacher,
                                             args.teacher_ckpt, args.method,
                                             given, dict(args.method_options),
                                             args.imports)
        with open(given, encoding='utf-8') as file:
            print(f'wrote {path}:\n\n{file.read()}')
    return cfg


def _summary(cfg) -> str:
    """Build the model of a distillation config, and describe it."""
    from mmkd.core.model import DistillationModel
    from mmkd.core.network import network_config
    model = dict(cfg.model)
    model.pop('type')
    student, scope = network_config(cfg, 'the student')
    with _scope(scope):
        return DistillationModel(**{**model, 'student': student}).summary()


def _scope(name: Optional[str]):
    from mmengine.registry import DefaultScope
    return DefaultScope.overwrite_default_scope(
        name) if name else nullcontext()
