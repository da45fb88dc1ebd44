#!/usr/bin/env python
"""Take the images of configs/_base_/datasets/coco_small.py out of COCO 2017.

    tools/datasets/coco_small.py data/coco data/coco_small

The numbers of the images stand in coco_small.json beside this file. Images
and boxes are scaled so that no side exceeds 416 pixels.
"""
import argparse
import json
import sys
from pathlib import Path
from typing import Any, Dict

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mmkd.errors import ConfigError, DataError  # noqa: E402
from mmkd.utils.command import run  # noqa: E402

NUMBERS = Path(__file__).with_suffix('.json')
LONGEST_SIDE = 416


def parse_args(argv=None) -> argparse.Namespace:
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('source', type=Path)
    parser.add_argument('target', type=Path)
    return parser.parse_args(argv)


def convert(source: Path, target: Path) -> Dict[str, Dict[str, Any]]:
    """Write the images and their annotations.

    Returns:
        dict[str, dict]: The annotations in COCO's format, by split.

    Raises:
        ConfigError: If a file of annotations is missing.
        DataError: If an image is missing, or a file of annotations damaged.
    """
    for folder in ('images', 'annotations'):
        (target / folder).mkdir(parents=True, exist_ok=True)
    found = {}
    for split, numbers in json.loads(NUMBERS.read_text()).items():
        path = source / f'annotations/instances_{split}2017.json'
        if not path.is_file():
            raise ConfigError(f'there is no file {path}')
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except ValueError as error:
            raise DataError(f'{path} is not JSON: {error}') from None
        images = {x['id']: x for x in content['images']}
        missing = [x for x in numbers if x not in images]
        if missing:
            raise DataError(f'{path} has no image {missing[0]}')
        scales = {
            number: _shrink(images[number], source / f'{split}2017', target)
            for number in numbers
        }
        found[split] = dict(
            images=[images[number] for number in numbers],
            annotations=[
                _scaled(x, scales[x['image_id']])
                for x in content['annotations'] if x['image_id'] in scales
            ],
            categories=content['categories'])
        (target / f'annotations/{split}.json').write_text(
            json.dumps(found[split]))
    return found


def _shrink(record: Dict[str, Any], source: Path, target: Path) -> float:
    """Write an image and enter its size; returns the scale."""
    from PIL import Image
    path = source / record['file_name']
    if not path.is_file():
        raise DataError(f'there is no image {path}')
    with Image.open(path) as image:
        width = image.width
        image.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
        image.convert('RGB').save(
            target / 'images' / record['file_name'], quality=95)
        record.update(width=image.width, height=image.height)
        return image.width / width


def _scaled(record: Dict[str, Any], scale: float) -> Dict[str, Any]:
    """A box at another scale, without its mask."""
    return dict(
        {
            key: record[key]
            for key in ('id', 'image_id', 'category_id', 'iscrowd')
        },
        bbox=[round(scale * x, 2) for x in record['bbox']],
        area=round(scale**2 * record['area'], 2))


def main(argv=None) -> None:
    """Write the part, and print the number of images and boxes."""
    args = parse_args(argv)
    for split, content in convert(args.source, args.target).items():
        print(f'{split}: {len(content["images"])} images, '
              f'{len(content["annotations"])} boxes')


if __name__ == '__main__':
    run(main)
