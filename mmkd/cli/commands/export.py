"""Write the student as files of its library, or as ONNX.

The files are a checkpoint and a config. With --part backbone, the checkpoint
holds the backbone alone, from which other models can start. With --onnx,
there is also a graph from normalised images to what the heads compute before
any post-processing; docs/deployment.md describes its outputs.
"""
import argparse
import os.path as osp
from typing import TYPE_CHECKING

from mmkd.cli.options import CONFIG, add_file, quietly
from mmkd.errors import ConfigError

if TYPE_CHECKING:
    from mmkd.engine.onnx import Export


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
    parser.add_argument(
        '--part',
        metavar='MODULE',
        help='write the weights of this module of the student alone, such as '
        'backbone, and print the `init_cfg` that loads them')
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        '--ema',
        action='store_true',
        help='export the averaged weights (the default if there are any)')
    which.add_argument(
        '--raw', action='store_true', help='export the trained weights')
    parser.add_argument(
        '--safetensors', action='store_true', help='write safetensors')
    onnx = parser.add_argument_group('ONNX (mmdet and mmseg)')
    onnx.add_argument(
        '--onnx',
        action='store_true',
        help='also write a .onnx file, checked against PyTorch in onnxruntime')
    onnx.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='size of its input in pixels; default: that of the test images')
    onnx.add_argument(
        '--opset', type=int, help="version of ONNX's operators; default: 20")


def run(args: argparse.Namespace) -> None:
    """Export."""
    from mmkd import apis
    from mmkd.engine.onnx import OPSET, check_packages
    name, safetensors = args.part or 'student', args.safetensors
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
    if args.onnx:
        if args.part:
            raise ConfigError('--onnx writes the whole student; leave --part '
                              'out')
        check_packages()
    elif args.size or args.opset:
        raise ConfigError('--size and --opset need --onnx')
    if args.ema and 'ema_state_dict' not in _content(args.checkpoint):
        raise ConfigError(f'{args.checkpoint} holds no averaged weights; '
                          'leave --ema out')
    with quietly(args):
        weights, config = apis.export_student(args.config, args.checkpoint,
                                              out_dir, args.raw, safetensors,
                                              name, args.part)
        if args.onnx:
            export = apis.export_onnx(config, weights,
                                      osp.join(out_dir, f'{name}.onnx'),
                                      args.size and tuple(args.size),
                                      args.opset or OPSET)
    print(weights)
    if args.part:
        print(f"init_cfg=dict(type='Pretrained', checkpoint={weights!r}, "
              f"prefix={args.part + '.'!r})")
    else:
        print(config)
    if args.onnx:
        print(export.path)
        if not args.quiet:
            print(_table(export))


def _table(export: 'Export') -> str:
    """The outputs of an ONNX file beside those of PyTorch."""
    from mmkd.utils.table import format_table

    def shape(sizes: tuple) -> str:
        return ' x '.join(map(str, sizes))

    return (f'opset {export.opset}, input image {shape(export.shape)}; '
            f'compared with PyTorch on {export.images}:\n' +
            format_table(['output', 'shape', 'largest value', 'difference'], [[
                x.name,
                shape(x.shape), f'{x.largest:.3g}', f'{x.difference:.1e}'
            ] for x in export.outputs]))


def _content(checkpoint: str) -> dict:
    from mmkd.utils.checkpoint import read_file
    content = read_file(checkpoint)
    return content if isinstance(content, dict) else {}
