"""Write the weights of a student that starts from its teacher.

The file is a checkpoint of the student's library, from which any training can
start, with mmkd or without. docs/inherit.md says which networks it is for.
"""
import argparse

from mmkd.cli.options import CONFIG, add_file, quietly
from mmkd.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_file(parser, 'student', help=f'its config: {CONFIG}')
    add_file(parser, '--teacher', required=True, help='its config')
    add_file(
        parser,
        '--teacher-ckpt',
        help="its weights: a file, or 'official' for those its library "
        'publishes; default: those from which its own training starts, such '
        "as ImageNet's")
    add_file(
        parser,
        '--out',
        required=True,
        help='file to write, .pth or .safetensors')
    parser.add_argument(
        '--part',
        metavar='MODULE',
        help='fill and write this module of the student alone, such as '
        'backbone, and print the `init_cfg` that loads it')
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='seed of the tensors that the teacher does not give; default: 0')


def run(args: argparse.Namespace) -> None:
    """Write the weights, and print how to load them."""
    from mmkd import apis
    if not args.out.endswith(('.pth', '.safetensors')):
        raise UsageError(f'--out {args.out}: the file is a .pth or a '
                         '.safetensors')
    with quietly(args):
        account = apis.inherit_weights(args.student, args.teacher,
                                       args.teacher_ckpt, args.out, args.part,
                                       args.seed)
    print(f'{args.out}: {account}')
    if args.part:
        print(f"init_cfg=dict(type='Pretrained', checkpoint={args.out!r}, "
              f"prefix={args.part + '.'!r})")
    else:
        print(f'load_from = {args.out!r}')
