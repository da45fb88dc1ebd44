#!/usr/bin/env python
"""Draw frames of a data set with their ground truth, and save them as PNG.

    tools/browse_scenes.py data/scenes/small/nuscenes --frames 0 20 40
    tools/browse_scenes.py data/scenes/small/kitti --count 6
    tools/browse_scenes.py data/scenes/small --part train

nuScenes: six cameras with projected boxes; in bird's-eye view, the points,
boxes, tracks (dotted) and velocities (arrows, the distance of one second).
KITTI: the camera with boxes in 2D and 3D, and the bird's-eye view. Cityscapes:
label map and, if COCO's annotations exist, boxes (dotted: crowds).
"""
import argparse
import os.path as osp
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmkd import cli  # noqa: E402


def main(argv=None) -> None:
    """Draw the chosen frames."""
    from driving_scenes.labels import color_table
    from mmkd.errors import ConfigError
    from mmkd.visualization.data_frames import open_frames
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('root', help='folder of the data')
    parser.add_argument(
        '--part',
        help='version of nuScenes, training or testing of KITTI, split of '
        'Cityscapes')
    parser.add_argument(
        '--frames', type=int, nargs='+', help='indices; default: see --count')
    parser.add_argument(
        '--count',
        type=int,
        default=4,
        help='number of frames, evenly '
        'spread over the data')
    parser.add_argument('--out', default='work_dirs/browse')
    args = parser.parse_args(argv)
    frames = open_frames(args.root.rstrip('/'), color_table(), args.part)
    count = min(args.count, len(frames))
    chosen = args.frames or [i * len(frames) // count for i in range(count)]
    for index in chosen:
        if not 0 <= index < len(frames):
            raise ConfigError(f'{args.root} has the frames 0 to '
                              f'{len(frames) - 1}, not {index}')
    for index in chosen:
        print(
            frames.draw(index, osp.join(args.out,
                                        f'{frames.name(index)}.png')))


if __name__ == '__main__':
    cli.run(main)
