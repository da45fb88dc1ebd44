"""List the tensors that can be tapped in networks."""
import argparse

from mmkd.cli.options import CONFIG, add_cfg_options, add_file, quietly, read


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_file(
        parser, 'config', help=f'a plain model or a distillation: {CONFIG}')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(128, 128),
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the synthetic image in pixels; default: 128 128')
    parser.add_argument(
        '--depth', type=int, help='maximum depth of the listed modules')
    parser.add_argument(
        '--match', help='list only taps that contain this text')
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> None:
    """List the taps."""
    from mmkd import apis
    from mmkd.utils.table import format_table
    with quietly(args):
        listed = apis.list_taps(read(args), tuple(args.size), args.depth)
    for name, rows in listed.items():
        rows = [r for r in rows if not args.match or args.match in r[0]]
        print(f'{name}: {len(rows)} places')
        print(format_table(['tap', 'module', 'calls', 'gives', ''], rows))
        print()
