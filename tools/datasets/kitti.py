#!/usr/bin/env python
"""Check scans in the layout of KITTI's object task, and index them.

    tools/datasets/kitti.py kitti data/kitti_lidar --hold-out DRIVE DRIVE

For each list in SOURCE/ImageSets, the script reads the label_2, calib and
velodyne (or velodyne_reduced) of its frames, checks them, and writes
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
import sys
from collections import Counter
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np

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
    return parser.parse_args(argv)


def read_lists(source: Path, hold_out: List[str]) -> Dict[str, List[str]]:
    """The frames of each list, with ``fit`` and ``tune`` if drives are held
    out.

    Raises:
        ConfigError: If there are no lists, or a drive has no frame in train.
        DataError: If a frame is in both train and val.
    """
    lists = {
        path.stem: path.read_text().split()
        for path in sorted((source / 'ImageSets').glob('*.txt'))
    }
    if not lists:
        raise ConfigError(f'there are no lists {source}/ImageSets/*.txt')
    both = set(lists.get('train', [])) & set(lists.get('val', []))
    if both:
        raise DataError(f'frame {min(both)} is in both train and val')
    if hold_out:
        table = _file(source / 'frames.tsv')
        with open(table, encoding='utf-8') as file:
            drives = {
                row['frame']: row['drive']
                for row in csv.DictReader(file, delimiter='\t')
            }
        train = lists.get('train', [])
        unknown = set(hold_out) - {drives.get(name) for name in train}
        if unknown:
            raise ConfigError(
                f'{table} names no frame of train in the drive {min(unknown)}')
        lists['tune'] = [x for x in train if drives.get(x) in hold_out]
        lists['fit'] = [x for x in train if drives.get(x) not in hold_out]
    return lists


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
        from PIL import Image
        with Image.open(image) as picture:
            image_size = picture.size[::-1]
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


def _calibration(path: Path) -> Dict[str, np.ndarray]:
    found = {}
    try:
        for line in path.read_text().splitlines():
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
    for number, line in enumerate(path.read_text().splitlines(), 1):
        name, *rest = line.split()
        try:
            values = [float(x) for x in rest]
            if len(values) != 14:
                raise ValueError('a label has 15 columns')
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
            image_size: Tuple[int, int]) -> Dict[str, Tuple[int, dict]]:
    """Write the index files and the points that the camera sees.

    Returns:
        dict[str, tuple]: By list, the number of frames, and by class the
        objects and those of moderate difficulty.
    """
    lists = read_lists(source, hold_out)
    reduced = target / 'training' / 'velodyne_reduced'
    infos, objects = {}, {}
    for name in sorted({x for names in lists.values() for x in names}):
        frame = read_frame(source / 'training', name, image_size)
        infos[name] = layout.frame_info(frame)
        objects[name] = frame.objects
        write_bytes(str(reduced / f'{name}.bin'), frame.reduced().tobytes())
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
                     tuple(args.image_size))
    for key, (frames, classes) in counts.items():
        found = ', '.join(f'{name} {total} ({moderate} moderate)'
                          for name, (total, moderate) in classes.items())
        print(f'{key}: {frames} scans; {found}')


if __name__ == '__main__':
    run(main)
