#!/usr/bin/env python
"""Make object-complete frames: each object as its whole scene sees it.

    tools/complete_objects.py nuscenes --data-root data/nuscenes \\
        --infos nuscenes_infos_train.pkl nuscenes_infos_val.pkl --workers 8
    tools/complete_objects.py kitti --data-root data/scenes/small/kitti \\
        --infos kitti_infos_train.pkl

Writes, below the folder of the data, complete_objects/TAG/scenes/*.npz (the
points of each object in its own frame, with the view that each is of) and,
beside each index file, one of the same name with _TAG in it, which says where
each object lies. Frames are put together while training, by the transform
LoadCompleteObjects, or written as whole clouds with --frames. What was
interrupted goes on; scenes that failed are named, and the exit code is 1 then.
"""
import argparse
import os.path as osp
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        'layout',
        choices=['nuscenes', 'kitti', 'waymo', 'infos'],
        help='where tracks are: in the tables of nuScenes, in\n'
        'sequences/*.json of KITTI, in infos of Waymo with track ids, or in\n'
        'infos that tools/pseudo_label.py made')
    parser.add_argument('--data-root', required=True)
    parser.add_argument(
        '--infos',
        nargs='+',
        required=True,
        help="mmdet3d's index files, in that folder")
    parser.add_argument('--points', help='folder of the points in it')
    parser.add_argument(
        '--tables', help='folder of the tables of nuScenes, if another')
    parser.add_argument(
        '--tag', default='complete', help='name of what is made')
    parser.add_argument(
        '--preset',
        choices=['published'],
        help='as the published tool: nothing thinned, capped or left out')
    parser.add_argument(
        '--strategy',
        choices=['concat', 'icp'],
        help='icp registers views, for predicted boxes')
    numbers = (('extract-margin', float,
                'enlargement of boxes on each side, metres'),
               ('voxel', float,
                'keep a point in each cube of this edge, metres'),
               ('max-points', int, 'most points of an object; 0 is no limit'),
               ('min-points', int, 'fewest points of an object'),
               ('min-views', int, 'fewest frames that see an object'),
               ('frame-step', int, 'every how many frames give views'),
               ('seed', int, 'of the choice where there are too many points'))
    for name, kind, text in numbers:
        parser.add_argument(f'--{name}', type=kind, help=text)
    parser.add_argument(
        '--classes',
        nargs='+',
        help='to complete; default: '
        'those that are detected')
    parser.add_argument(
        '--every-class',
        action='store_true',
        default=None,
        help='complete objects of classes that are not detected too')
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument(
        '--overwrite', action='store_true', help='make everything anew')
    parser.add_argument(
        '--database',
        help="mmdet3d's *_dbinfos_train.pkl: make one that knows the "
        'complete\nobjects, for CompleteDataBaseSampler')
    parser.add_argument(
        '--label-hidden',
        action='store_true',
        help='count completed points as seen, for a teacher in whose frames\n'
        'hidden objects are filled in (min_visible_points=0)')
    add_frame_arguments(parser)
    return parser.parse_args(argv)


def add_frame_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of whole frames and of pictures."""
    parser.add_argument(
        '--frames',
        action='store_true',
        help='write whole clouds too, and an index file _TAG_frames of them,\n'
        'for pipelines that know nothing of mmkd')
    placement = (('mode', str, 'add, or replace the points in the boxes'),
                 ('keep-margin', float,
                  'leave out points so far outside of a box, metres'),
                 ('min-visible-points', int,
                  'fewest points of an object in the frame'),
                 ('window', int, 'only views of so many frames around'))
    for name, kind, text in placement:
        parser.add_argument(
            f'--{name}', type=kind, help=f'of --frames: {text}')
    parser.add_argument(
        '--pictures',
        type=int,
        default=0,
        metavar='N',
        help='draw N frames, complete beside ordinary, and their objects')


def main(argv=None) -> int:
    """Complete the scenes of some index files."""
    args = parse_args(argv)
    from mmkd.errors import ConfigError
    from mmkd.methods.xray.data import build, frames, infos
    from mmkd.methods.xray.data.completion import PUBLISHED, CompletionOptions
    from mmkd.methods.xray.data.placement import PUBLISHED_PLACEMENT, Placement
    from mmkd.utils.index import read_index_file

    def given_of(kind: type) -> dict:
        """Options of a kind that the command line has."""
        return {
            name: getattr(args, name)
            for name in kind.__dataclass_fields__
            if getattr(args, name, None) is not None
        }

    given = given_of(CompletionOptions)
    if 'classes' in given:
        given['classes'] = tuple(given['classes'])
    options = CompletionOptions(**{
        **(PUBLISHED if args.preset else {}),
        **given
    })
    given = given_of(Placement)
    if given and not args.frames:
        names = ', '.join(f'--{name.replace("_", "-")}' for name in given)
        raise ConfigError(f'{names} says how whole clouds are written; give '
                          '--frames too, or the option to '
                          'LoadCompleteObjects')
    placement = Placement(**{
        **(PUBLISHED_PLACEMENT if args.preset else {}),
        **given
    })
    folder = args.points or infos.POINTS_FOLDER[args.layout]
    failed = False
    for name in args.infos:
        began = time.time()
        content = infos.load_infos(osp.join(args.data_root, name))
        infos.add_identities(content, args.layout, args.data_root, args.tables,
                             folder.split('/')[0])
        content, report = build.complete(content, args.data_root, folder,
                                         args.tag, options, args.workers,
                                         args.overwrite)
        if args.label_hidden:
            content = build.label_hidden(content)
        stem, ending = osp.splitext(name)
        path = osp.join(args.data_root, f'{stem}_{args.tag}{ending}')
        infos.save_infos(content, path)
        print(f'{path}: {report} ({time.time() - began:.0f} s)')
        failed |= bool(report.failed)
        if args.frames:
            clouds, report = frames.write_frames(content, args.data_root,
                                                 folder, args.tag, placement,
                                                 args.workers, args.overwrite)
            path = osp.join(args.data_root,
                            f'{stem}_{args.tag}_frames{ending}')
            infos.save_infos(clouds, path)
            print(f'{path}: {report}')
            failed |= bool(report.failed)
        if args.pictures:
            from mmkd.methods.xray.data.pictures import draw_frames
            print('\n'.join(
                draw_frames(
                    content, osp.join(args.data_root, folder),
                    osp.join(
                        build.store_folder(args.data_root, args.tag),
                        'pictures'), args.pictures)))
        if args.database and name == args.infos[0]:
            path = osp.join(args.data_root, args.database)
            database = read_index_file(path)
            stem, ending = osp.splitext(path)
            infos.save_infos(
                build.add_to_database(database, content, args.data_root,
                                      folder), f'{stem}_{args.tag}{ending}')
            print(f'{stem}_{args.tag}{ending}')
    return int(failed)


if __name__ == '__main__':
    # Not above: the processes that are started read this file as well.
    from mmkd import cli
    cli.run(main)
