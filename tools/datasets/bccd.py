#!/usr/bin/env python
"""Bring BCCD into the layout of configs/_base_/datasets/bccd.py.

    tools/datasets/bccd.py BCCD_Dataset/BCCD data/bccd

Reads the images, the annotations in XML and the splits of the repository, and
writes the images and, for each split, a file of COCO's format and a list of
the images, for training without labels. Boxes without area are left out.
"""
import argparse
import json
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mmkd.errors import ConfigError, DataError  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

#: Number of images that BCCD has.
SPLITS = dict(train=205, val=87, test=72)
CLASSES = ('RBC', 'WBC', 'Platelets')


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('source', type=Path)
    parser.add_argument('target', type=Path)
    return parser.parse_args(argv)


def convert(source: Path, target: Path) -> Dict[str, Dict[str, Any]]:
    """Copy the images, and write the annotations.

    Returns:
        dict[str, dict]: The annotations in COCO's format, by split.

    Raises:
        ConfigError: If a list of images is missing.
        DataError: If an image or its annotation is missing or wrong.
    """
    for folder in ('images', 'annotations'):
        (target / folder).mkdir(parents=True, exist_ok=True)
    found = {}
    for split in SPLITS:
        content: Dict[str, Any] = dict(
            images=[],
            annotations=[],
            categories=[
                dict(id=i, name=name) for i, name in enumerate(CLASSES, 1)
            ])
        for number, name in enumerate(_names(source, split)):
            image = source / 'JPEGImages' / f'{name}.jpg'
            if not image.is_file():
                raise DataError(f'there is no image {image}')
            shutil.copyfile(image, target / 'images' / image.name)
            content['images'].append(
                dict(id=number, file_name=image.name, **_size(image)))
            for box in _boxes(source / 'Annotations' / f'{name}.xml'):
                content['annotations'].append(
                    dict(
                        id=len(content['annotations']) + 1,
                        image_id=number,
                        **box))
        (target / f'annotations/{split}.json').write_text(json.dumps(content))
        (target / f'annotations/{split}.txt').write_text(''.join(
            f'../images/{image["file_name"]}\n'
            for image in content['images']))
        found[split] = content
    return found


def _names(source: Path, split: str) -> List[str]:
    path = source / 'ImageSets/Main' / f'{split}.txt'
    if not path.is_file():
        raise ConfigError(f'there is no list of images {path}')
    return path.read_text().split()


def _size(path: Path) -> Dict[str, int]:
    from PIL import Image
    with Image.open(path) as image:
        return dict(width=image.width, height=image.height)


def _boxes(path: Path) -> Iterator[Dict[str, Any]]:
    """The objects of an image, as COCO's format has them."""
    try:
        objects = ElementTree.parse(path).findall('object')
    except (OSError, ElementTree.ParseError) as error:
        raise DataError(f'cannot read {path}: {error}') from None
    for item in objects:
        name = item.findtext('name')
        if name not in CLASSES:
            raise DataError(f'{path} has an object {name!r}; the classes are '
                            f'{", ".join(CLASSES)}')
        try:
            left, top, right, bottom = (
                float(item.findtext(f'bndbox/{key}', ''))
                for key in ('xmin', 'ymin', 'xmax', 'ymax'))
        except ValueError:
            raise DataError(f'{path} has a {name} without a box') from None
        width, height = right - left, bottom - top
        if width > 0 and height > 0:
            yield dict(
                category_id=CLASSES.index(name) + 1,
                bbox=[left, top, width, height],
                area=width * height,
                iscrowd=0)


def main(argv=None) -> None:
    """Convert, and print the number of images and objects."""
    args = parse_args(argv)
    for split, content in convert(args.source, args.target).items():
        boxes = Counter(x['category_id'] for x in content['annotations'])
        objects = ', '.join(f'{boxes[i]} {name}'
                            for i, name in enumerate(CLASSES, 1))
        count = len(content['images'])
        note = '' if count == SPLITS[split] else f'; BCCD has {SPLITS[split]}'
        print(f'{split}: {count} images, {objects}{note}')


if __name__ == '__main__':
    run(main)
