"""Make object-complete frames, for X-Ray.

In such a frame, each object has the points of all frames.

    mmkd complete nuscenes --data-root data/nuscenes \\
        --infos nuscenes_infos_train.pkl nuscenes_infos_val.pkl --workers 8
    mmkd complete kitti --data-root data/scenes/small/kitti \\
        --infos kitti_infos_train.pkl

Writes complete_objects/TAG/scenes/*.npz in the data folder (the points of each
object in its own frame, with the view of each point) and, next to each index
file, one with _TAG in its name that locates each object. The transform
LoadCompleteObjects assembles the frames during training; --frames writes whole
clouds. An interrupted run resumes. If scenes fail, they are named and the exit
code is 1.
"""
import argparse
import os.path as osp
import time

from mmkd.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        'layout',
        choices=['nuscenes', 'kitti', 'waymo', 'infos'],
        help='source of the tracks: the tables of nuScenes,\n'
        'sequences/*.json of KITTI, infos of Waymo with track ids, or infos\n'
        'from `mmkd pseudo-label`')
    parser.add_argument('--data-root', required=True)
    parser.add_argument(
        '--infos',
        nargs='+',
        required=True,
        help="mmdet3d's index files, in that folder")
    parser.add_argument('--points', help='folder of the points in it')
    parser.add_argument(
        '--tables', help='folder of the tables of nuScenes, if different')
    parser.add_argument('--tag', default='complete', help='name of the result')
    parser.add_argument(
        '--preset',
        choices=['published'],
        help='as in the published tool: no thinning, no limit, all objects')
    parser.add_argument(
        '--strategy',
        choices=['concat', 'icp', 'none'],
        help='icp registers views, for predicted boxes; none keeps the first '
        'view only')
    numbers = (('extract-margin', float,
                'enlargement of boxes on each side, metres'),
               ('voxel', float,
                'keep one point per cube of this size, metres'),
               ('max-points', int,
                'maximum points per object; 0 means no limit'),
               ('min-points', int, 'minimum points of an object'),
               ('min-views', int, 'minimum frames with an object'),
               ('frame-step', int, 'use every N-th frame as a view'),
               ('seed', int, 'seed for sampling if there are too many points'))
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
        help='also complete objects outside the detection classes')
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument(
        '--overwrite', action='store_true', help='overwrite existing results')
    parser.add_argument(
        '--database',
        help="mmdet3d's *_dbinfos_train.pkl: also make one with the "
        'complete\nobjects, for CompleteDataBaseSampler')
    parser.add_argument(
        '--label-hidden',
        action='store_true',
        help='count completed points as visible, for a teacher whose frames\n'
        'also contain hidden objects (min_visible_points=0)')
    _add_frame_arguments(parser)


def _add_frame_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of whole frames and of pictures."""
    parser.add_argument(
        '--frames',
        action='store_true',
        help='also write whole clouds, and an index file _TAG_frames,\n'
        'for pipelines without mmkd')
    placement = (('mode', str, 'add, or replace the points in the boxes'),
                 ('keep-margin', float,
                  'drop points further than this outside a box, metres'),
                 ('min-visible-points', int,
                  'minimum points of an object in the frame'),
                 ('window', int, 'only views within this many frames'))
    for name, kind, text in placement:
        parser.add_argument(
            f'--{name}', type=kind, help=f'of --frames: {text}')
    parser.add_argument(
        '--pictures',
        type=int,
        default=0,
        metavar='N',
        help='draw N complete and ordinary frames, and their objects')


def run(args: argparse.Namespace) -> int:
    """Complete the scenes of some index files."""
    from mmkd.methods.xray.data import build, frames, infos
    from mmkd.methods.xray.data.completion import PUBLISHED, CompletionOptions
    from mmkd.methods.xray.data.placement import PUBLISHED_PLACEMENT, Placement
    from mmkd.utils.index import read_index_file

    def given_of(kind: type) -> dict:
        """The options of a kind that were given."""
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
        raise ConfigError(f'{names} is for whole clouds; add '
                          '--frames, or pass the option to '
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
