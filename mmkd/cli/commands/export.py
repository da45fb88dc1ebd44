"""Write the student as a checkpoint and config of its library."""
import argparse
import os.path as osp

from mmkd.cli.options import CONFIG, add_file, quietly
from mmkd.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_file(parser, 'config', help=f'the distillation: {CONFIG}')
    add_file(parser, 'checkpoint', help='a checkpoint of the run')
    where = parser.add_mutually_exclusive_group()
    add_file(
        where,
        '--out-dir',
        help='folder for both files; default: export/ next to the checkpoint')
    add_file(
        where,
        '--out',
        help='file for the weights, .pth or .safetensors; the config is '
        'written next to it')
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--ema',
        action='store_true',
        help='export the averaged weights (the default if there are any)')
    which.add_argument(
        '--raw', action='store_true', help='export the trained weights')
    parser.add_argument(
        '--safetensors', action='store_true', help='write safetensors')


def run(args: argparse.Namespace) -> None:
    """Export."""
    from mmkd import apis
    name, safetensors = 'student', args.safetensors
    out_dir = args.out_dir or osp.join(
        osp.dirname(args.checkpoint) or '.', 'export')
    if args.out:
        out_dir = osp.dirname(args.out) or '.'
        name, kind = osp.splitext(osp.basename(args.out))
        if kind not in ('.pth', '.safetensors') or (safetensors
                                                    and kind == '.pth'):
            raise ConfigError(f'--out {args.out}: the file is a .pth or a '
                              '.safetensors')
        safetensors = kind == '.safetensors'
    if args.ema and 'ema_state_dict' not in _content(args.checkpoint):
        raise ConfigError(f'{args.checkpoint} holds no averaged weights; '
                          'leave --ema out')
    with quietly(args):
        paths = apis.export_student(args.config, args.checkpoint, out_dir,
                                    args.raw, safetensors, name)
    print('\n'.join(paths))


def _content(checkpoint: str) -> dict:
    from mmkd.utils.checkpoint import read_file
    content = read_file(checkpoint)
    return content if isinstance(content, dict) else {}
