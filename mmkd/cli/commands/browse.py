"""Draw what a method sees, or the frames of a data set.

    mmkd browse CONFIG [CHECKPOINT ...]
    mmkd browse data/scenes/small/nuscenes --frames 0 20 40

Given a distillation config, draws the visuals of its methods: masks,
attention, distances between student and teacher.

Given a folder, draws frames with their ground truth. nuScenes: six cameras
with projected boxes; in bird's-eye view, the points, boxes, tracks (dotted)
and velocities (arrows, the distance of one second). KITTI: the camera with
boxes in 2D and 3D, and the bird's-eye view. Cityscapes: label map and, if
COCO's annotations exist, boxes (dotted: crowds).
"""
import argparse
import os.path as osp

from mmkd.cli.options import (add_cfg_options, add_device, add_file, add_seed,
                              name_of, quietly, with_options)
from mmkd.errors import ConfigError, UsageError

_OF_CONFIG = ('images', 'split', 'no_predictions', 'score_thr', 'cfg_options',
              'seed')
_OF_FOLDER = ('part', 'frames')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_file(
        parser,
        'what',
        metavar='config_or_folder',
        help='a distillation config, or the folder of a data set')
    add_file(
        parser,
        'checkpoints',
        nargs='*',
        metavar='checkpoint',
        help='checkpoints of the run; several also give a strip, none shows '
        'its start')
    parser.add_argument(
        '--count',
        type=int,
        default=4,
        help='number of images or frames, evenly spread over the data; '
        'default: 4')
    add_file(
        parser,
        '--out',
        help='folder for the pictures; default: work_dirs/NAME/pictures, or '
        'work_dirs/browse for a data set')
    config = parser.add_argument_group('options for a config')
    config.add_argument(
        '--images',
        nargs='+',
        metavar='IMAGE',
        help='indices into the data set, ends of paths in it, or other files, '
        'which have no ground truth')
    config.add_argument(
        '--split',
        choices=['train', 'val', 'test'],
        help='data set of the config; default: val')
    config.add_argument(
        '--no-predictions',
        action='store_true',
        default=None,
        help='do not show the predictions of student and teacher')
    config.add_argument(
        '--score-thr',
        type=float,
        help='minimum score of predicted boxes; default: 0.3')
    add_cfg_options(config)
    add_device(config)
    add_seed(config)
    folder = parser.add_argument_group('options for a data set')
    folder.add_argument(
        '--part',
        help='version of nuScenes, training or testing of KITTI, split of '
        'Cityscapes')
    folder.add_argument(
        '--frames', type=int, nargs='+', help='indices; default: see --count')


def run(args: argparse.Namespace) -> None:
    """Draw."""
    is_folder = osp.isdir(args.what)
    if is_folder and args.checkpoints:
        raise UsageError(f'{args.what} is the folder of a data set; '
                         'checkpoints belong to a config')
    for option in _OF_CONFIG if is_folder else _OF_FOLDER:
        if getattr(args, option) is not None:
            kind = 'folder' if is_folder else 'config'
            raise UsageError(f'--{option.replace("_", "-")} does not apply to '
                             f'a {kind}, and {args.what} is one')
    for path in _draw_frames(args) if is_folder else _draw_visuals(args):
        print(path)


def _draw_visuals(args: argparse.Namespace) -> list:
    from mmkd import apis
    from mmkd.utils.config import read_config
    images = args.count if args.images is None else [
        int(image) if image.isdecimal() else image for image in args.images
    ]
    out = args.out or osp.join('work_dirs', name_of(args.what), 'pictures')
    threshold = .3 if args.score_thr is None else args.score_thr
    with quietly(args):
        cfg = with_options(read_config(args.what), args)
        return apis.browse_distillation(cfg, args.checkpoints, images,
                                        args.split or 'val', out,
                                        not args.no_predictions, threshold)


def _draw_frames(args: argparse.Namespace) -> list:
    from driving_scenes.labels import color_table
    from mmkd.visualization.data_frames import open_frames
    frames = open_frames(args.what.rstrip('/'), color_table(), args.part)
    count = min(args.count, len(frames))
    chosen = args.frames or [i * len(frames) // count for i in range(count)]
    for index in chosen:
        if not 0 <= index < len(frames):
            raise ConfigError(f'{args.what} has the frames 0 to '
                              f'{len(frames) - 1}, not {index}')
    out = args.out or 'work_dirs/browse'
    return [
        frames.draw(index, osp.join(out, f'{frames.name(index)}.png'))
        for index in chosen
    ]
