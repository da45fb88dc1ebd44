"""Generate the embedded driving scenes.

The formats are those of Cityscapes, COCO, KITTI and nuScenes. An interrupted
run resumes.
"""
import argparse
import time

from driving_scenes.presets import PRESETS, SPLITS
from mmkd.cli.options import add_file, quietly
from mmkd.errors import DataError

# Those of driving_scenes.groups, which takes seconds to import.
FORMATS = ('cityscapes', 'coco', 'kitti', 'nuscenes')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument('--preset', default='small', choices=list(PRESETS))
    add_file(parser, '--out', help='folder; default: data/scenes/PRESET')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='size of the images of Cityscapes and COCO in pixels')
    parser.add_argument(
        '--formats', nargs='+', default=list(FORMATS), choices=FORMATS)
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument(
        '--overwrite', action='store_true', help='make it anew')
    parser.add_argument(
        '--verify',
        action='store_true',
        help='only verify: name missing, modified and unexpected files')
    parser.add_argument(
        '--statistics',
        action='store_true',
        help='print the share of each class')
    parser.add_argument(
        '--infos',
        action='store_true',
        help="also write mmdet3d's index files for nuScenes")


def run(args: argparse.Namespace) -> int:
    """Generate a data set, or complete an interrupted one."""
    from driving_scenes.errors import ScenesError
    try:
        return _generate(args)
    except ScenesError as error:
        raise DataError(str(error)) from error


def _generate(args: argparse.Namespace) -> int:
    from driving_scenes.generate import class_shares, generate, problems
    from mmkd.utils.table import format_table
    out = args.out or f'data/scenes/{args.preset}'
    if args.verify:
        found = problems(out)
        print('\n'.join(found) or f'{out} is complete and unchanged')
        return int(bool(found))
    began = time.time()
    with quietly(args):
        sheet = generate(args.preset, out, args.seed, args.size
                         and tuple(args.size), args.formats, args.workers,
                         args.overwrite)
    if args.infos and 'nuscenes' in args.formats:
        from driving_scenes.infos import make_nuscenes_infos
        print('\n'.join(make_nuscenes_infos(f'{out}/nuscenes')))
    if args.statistics and sheet:
        shares = class_shares(out)
        print(
            format_table(
                ['class', *(f'{s} (%)' for s in SPLITS)],
                [[name, *(f'{100 * shares[s][name]:.3f}' for s in SPLITS)]
                 for name in shares['train']]))
    print(f'{out} is ready ({time.time() - began:.0f} s)' +
          (f'; {sheet} shows it' if sheet else ''))
    return 0
