#!/usr/bin/env python
"""Check scans in the layout of KITTI's object task, and index them.

    tools/datasets/kitti.py kitti data/kitti_lidar --hold-out DRIVE DRIVE

For each list in SOURCE/ImageSets but test, whose labels KITTI keeps to itself,
the script reads the label_2, calib and velodyne (or velodyne_reduced) of the
frames in SOURCE/training. Once it has checked all of them, it writes
TARGET/kitti_infos_LIST.pkl and TARGET/training/velodyne_reduced as mmdet3d's
create_data.py does. Unlike that converter, it needs no images: where there is
no image_2, --image-size says how large they were. It prints the objects of
each list, and how many of them the moderate difficulty includes.

--hold-out splits the list train by drive, to tune on scans of other streets:
into tune, the scans of these drives, and fit, all others. The tab-separated
SOURCE/frames.tsv names the drive of each frame, in columns frame and drive.
"""
import argparse
import csv
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
from PIL import Image, UnidentifiedImageError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import driving_scenes.writers.kitti as layout  # noqa: E402
from driving_scenes.writers.files import write_bytes  # noqa: E402
from mmkd.data.checks.files import scan_fault  # noqa: E402
from mmkd.errors import ConfigError, DataError  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

MATRICES = ('P0', 'P1', 'P2', 'P3', 'R0_rect', 'Tr_velo_to_cam',
            'Tr_imu_to_velo')
#: Of the index that `KittiObject.difficulty` gives.
MODERATE = 1


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('source', type=Path)
    parser.add_argument('target', type=Path)
    parser.add_argument('--hold-out', nargs='+', default=[], metavar='DRIVE')
    parser.add_argument(
        '--image-size',
        type=int,
        nargs=2,
        default=[375, 1242],
        metavar=('HEIGHT', 'WIDTH'))
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace index files and reduced scans of the target')
    return parser.parse_args(argv)


def read_lists(source: Path, hold_out: List[str]) -> Dict[str, List[str]]:
    """The frames of each list, with ``fit`` and ``tune`` if drives are held
    out.

    Raises:
        ConfigError: If there are no lists, or a drive has no frame in train.
        DataError: If a frame is in both train and val, or has no number or
            no drive.
    """
    paths = sorted((source / 'ImageSets').glob('*.txt'))
    # The frames of test are in another folder, under the same numbers.
    lists = {x.stem: _read(x).split() for x in paths if x.stem != 'test'}
    if not lists:
        raise ConfigError(f'there are no lists {source}/ImageSets/*.txt of '
                          'labelled frames')
    for key, names in lists.items():
        for name in names:
            if not re.fullmatch('[0-9]{6}', name):
                raise DataError(f'{source}/ImageSets/{key}.txt: {name!r} is '
                                'not the number of a frame, six digits')
    train = lists.get('train', [])
    both = set(train) & set(lists.get('val', []))
    if both:
        raise DataError(f'frame {min(both)} is in both train and val')
    if hold_out:
        table = _file(source / 'frames.tsv')
        drives = _drives(table)
        without = [name for name in train if not drives.get(name)]
        if without:
            raise DataError(f'{table} names no drive of frame {without[0]}')
        unknown = set(hold_out) - {drives[name] for name in train}
        if unknown:
            raise ConfigError(
                f'{table} names no frame of train in the drive {min(unknown)}')
        lists['tune'] = [x for x in train if drives[x] in hold_out]
        lists['fit'] = [x for x in train if drives[x] not in hold_out]
    return lists


def _drives(table: Path) -> Dict[str, str]:
    """The drive of each frame, from a table."""
    rows = csv.DictReader(_read(table).splitlines(), delimiter='\t')
    missing = {'frame', 'drive'} - set(rows.fieldnames or ())
    if missing:
        raise DataError(f'{table} has no column {min(missing)!r}; the first '
                        'line names the columns, separated by tabs')
    return {row['frame']: row['drive'] for row in rows}


def read_frame(folder: Path, name: str,
               image_size: Tuple[int, int]) -> layout.KittiFrame:
    """Read a scan and its labels.

    Args:
        folder (Path): The one with ``label_2``.
        name (str): Name of the frame, six digits.
        image_size (tuple[int, int]): Height and width in pixels, where there
            is no image.

    Raises:
        ConfigError: If a file is missing.
        DataError: If one is damaged.
    """
    scan = folder / 'velodyne' / f'{name}.bin'
    if not scan.is_file():
        scan = _file(folder / 'velodyne_reduced' / f'{name}.bin')
    fault = scan_fault(str(scan), 4)
    if fault:
        raise DataError(f'{scan} {fault}')
    image = folder / 'image_2' / f'{name}.png'
    if image.is_file():
        try:
            with Image.open(image) as picture:
                image_size = picture.size[::-1]
        except UnidentifiedImageError:
            raise DataError(f'{image} is not an image') from None
    return layout.KittiFrame(
        split='train',
        number=int(name),
        sequence=0,
        time=0.,
        # Only its size is needed.
        image=np.broadcast_to(np.uint8(0), (*image_size, 3)),
        points=np.fromfile(scan, '<f4').reshape(-1, 4),
        calibration=_calibration(_file(folder / 'calib' / f'{name}.txt')),
        pose=np.eye(4),
        objects=_objects(_file(folder / 'label_2' / f'{name}.txt')))


def _file(path: Path) -> Path:
    if not path.is_file():
        raise ConfigError(f'there is no file {path}')
    return path


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8')
    except UnicodeDecodeError:
        raise DataError(f'{path} is not text') from None


def _calibration(path: Path) -> Dict[str, np.ndarray]:
    found = {}
    try:
        for line in _read(path).splitlines():
            name, _, numbers = line.partition(':')
            if name in MATRICES:
                found[name] = np.array(numbers.split(),
                                       np.float64).reshape(3, -1)
    except ValueError as error:
        raise DataError(f'{path}: {error}') from None
    missing = [name for name in MATRICES if name not in found]
    if missing:
        raise DataError(f'{path} has no matrix {missing[0]}')
    return found


def _objects(path: Path) -> List[layout.KittiObject]:
    found = []
    for number, line in enumerate(_read(path).splitlines(), 1):
        columns = line.split()
        try:
            if len(columns) != 15:
                raise ValueError('a label has 15 columns')
            name, values = columns[0], [float(x) for x in columns[1:]]
            if not np.isfinite(values).all():
                raise ValueError('a number is not finite')
            if name not in (*layout.INFO_CLASSES, 'DontCare'):
                raise ValueError(f'KITTI has no class {name!r}')
        except ValueError as error:
            raise DataError(f'{path}, line {number}: {error}') from None
        found.append(
            layout.KittiObject(
                name,
                bbox=tuple(values[3:7]),
                truncated=values[0],
                occluded=int(values[1]),
                alpha=values[2],
                dimensions=tuple(values[7:10]),
                location=tuple(values[10:13]),
                rotation_y=values[13]))
    return found


def convert(source: Path, target: Path, hold_out: List[str],
            image_size: Tuple[int, int],
            overwrite: bool) -> Dict[str, Tuple[int, dict]]:
    """Write the index files and the points that the camera sees.

    Returns:
        dict[str, tuple]: By list, the number of frames, and by class the
        objects and those of moderate difficulty.

    Raises:
        ConfigError: If a file is missing, or the target has index files.
        DataError: If a file is damaged.
    """
    lists = read_lists(source, hold_out)
    indexes = sorted(target.glob('kitti_infos_*.pkl'))
    if indexes and not overwrite:
        raise ConfigError(f'there is {indexes[0]} already; choose another '
                          'target, or replace its files by --overwrite')
    folder = source / 'training'
    infos, objects = {}, {}
    for name in sorted({x for names in lists.values() for x in names}):
        frame = read_frame(folder, name, image_size)
        infos[name], objects[name] = layout.frame_info(frame), frame.objects
    # The points are read again, as all of them may not fit into memory.
    reduced = target / 'training/velodyne_reduced'
    own = reduced.resolve() == (folder / 'velodyne_reduced').resolve()
    for name in infos:
        path = reduced / f'{name}.bin'
        if not (own and path.is_file()):
            frame = read_frame(folder, name, image_size)
            write_bytes(str(path), frame.reduced().tobytes())
    counts = {}
    for key, names in lists.items():
        layout.write_infos(
            str(target / f'kitti_infos_{key}.pkl'), [infos[x] for x in names])
        things = [thing for name in names for thing in objects[name]]
        total = Counter(x.name for x in things if x.name != 'DontCare')
        moderate = Counter(x.name for x in things
                           if 0 <= x.difficulty <= MODERATE)
        counts[key] = (len(names), {
            name: (total[name], moderate[name])
            for name in total
        })
    return counts


def main(argv=None) -> None:
    """Convert, and print what there is."""
    args = parse_args(argv)
    counts = convert(args.source, args.target, args.hold_out,
                     tuple(args.image_size), args.overwrite)
    if (args.source / 'ImageSets/test.txt').is_file():
        print('test: left out, since KITTI publishes no labels of it')
    for key, (frames, classes) in counts.items():
        found = ', '.join(f'{name} {total} ({moderate} moderate)'
                          for name, (total, moderate) in classes.items())
        print(f'{key}: {frames} scans; {found}')


if __name__ == '__main__':
    run(main)
