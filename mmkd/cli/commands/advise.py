"""Compare the methods that serve a student and its teachers.

Tries every method on the networks and on a few training batches of the
student's config, without training. Prints for each that serves them: how many
tensors it reads, the parameters of its own modules, time and memory of a step
beside the student's own, the size of its gradient at its default weight
beside that of the task loss, and the loss_weight that makes both equal.
"""
import argparse
import json
import os.path as osp

from mmkd.cli.options import (add_cfg_options, add_device, add_file, add_pair,
                              add_seed, only_results, teachers_of,
                              with_options)
from mmkd.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_pair(parser)
    parser.add_argument(
        '--batches',
        type=_count,
        default=2,
        metavar='N',
        help='training batches to measure; default: 2')
    add_file(parser, '--json', metavar='FILE', help='also write a JSON file')
    add_cfg_options(parser)
    add_device(parser)
    add_seed(parser)


def run(args: argparse.Namespace) -> None:
    """Measure and print."""
    from mmkd.core.class_subset import classes_to_keep
    from mmkd.engine.advice import Adviser, as_dicts, as_rows
    from mmkd.engine.pair import Pair
    from mmkd.utils.config import read_config
    from mmkd.utils.files import write_bytes
    from mmkd.utils.table import format_table
    if args.json and osp.lexists(args.json):
        raise UsageError(f'--json: {args.json} exists; choose another file, '
                         'or remove it')
    teachers = teachers_of(args)
    with only_results(args):
        cfg = with_options(read_config(args.student), args)
        pair = Pair(
            cfg, {
                name:
                dict(
                    cfg=teacher,
                    ckpt=ckpt,
                    classes=classes_to_keep(cfg, teacher))
                for name, (teacher, ckpt) in teachers.items()
            })
        adviser = Adviser(cfg, pair, args.batches)
        advices = [adviser.advise(fit) for fit in pair.fits()]
    own = adviser.student
    print(f'{pair.task or "unknown task"}; a step of the student alone: '
          f'{own.seconds:.3g} s, {own.megabytes:.0f} MB. Time, memory and '
          'gradient are multiples of its own:')
    print(format_table(*as_rows(advices)))
    for name, found in adviser.teachers.items():
        blank = '' if found['blank'] is None else (
            f', {found["blank"]:.4g} on blank data')
        if not found['ok']:
            print(f'warning: teacher {name!r} does not seem to do its job: '
                  f'task loss {found["loss"]:.4g}{blank}; are its checkpoint '
                  'and normalisation right?')
    unfit = [advice for advice in advices if advice.reason]
    if unfit:
        print('\ndo not serve them:')
    for advice in unfit:
        reason = advice.reason.split('; ')[0]  # the file has the rest
        print(f'  {advice.method.lower()}: {reason}')
    inherits = pair.inherits and not cfg.get('load_from')
    chosen, why = pair.choose(inherits=inherits)
    print(f'\nstart with {chosen.command}: {why}. Of another method whose '
          "gradient is far from 1, set loss_weight, or loss_weight='auto'.")
    if inherits:
        print('start from the weights of the teacher, which has the layers of '
              'the student: --inherit, the default without --method')
    if args.json:
        content = dict(
            task=pair.task,
            student=vars(own),
            teachers=adviser.teachers,
            methods=as_dicts(advices),
            start_with=chosen.method,
            start_with_options=chosen.options,
            inherit=inherits)
        write_bytes(args.json, (json.dumps(content, indent=2) + '\n').encode())
        print(f'written to {args.json}')


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no number of batches')
    return int(text)
