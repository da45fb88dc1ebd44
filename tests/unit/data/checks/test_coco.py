"""Faults in annotations of COCO."""
import json
import os
import time

import pytest

from mmkd.data.checks import check_datasets
from tests.fixtures.datasets import annotation, coco, edit, only, texts

INF, NAN = float('inf'), float('nan')


def image(**changes):
    return lambda content: content['images'][1].update(changes)


def categories(*names):
    return lambda content: content.update(
        categories=[dict(id=i + 1, name=n) for i, n in enumerate(names)])


def every(kind, **changes):

    def change(content):
        for record in content[kind]:
            record.update(changes)

    return change


ANNOTATION = 'train.json: annotations[1] has the '

COCO = [
    (annotation(bbox=[INF, 3, 10, 8]), ANNOTATION + '`bbox` [inf, 3.0'),
    (annotation(bbox=[2, 3, NAN, 8]), ANNOTATION + '`bbox` [2.0, 3.0, nan'),
    (annotation(bbox=[2, 3, -10, 8]),
     ANNOTATION + '`bbox` [2.0, 3.0, -10.0, 8.0] of negative size'),
    (annotation(bbox=['2', 3, 10, 8]), ANNOTATION + "`bbox` ['2', 3"),
    (annotation(bbox='2 3 10 8'), ANNOTATION + "`bbox` '2 3 10 8'"),
    (annotation(bbox=[2, 3, 10]), ANNOTATION + '`bbox` [2, 3, 10] (of 1.png'),
    (annotation(bbox=[2, 3, 10, None]), ANNOTATION + '`bbox` [2, 3, 10, No'),
    (annotation(bbox=None), ANNOTATION + '`bbox` None'),
    (annotation(area='80'), ANNOTATION + "`area` '80'"),
    (every('annotations', area=0),
     'annotations[0] has the `area` 0, like 3 of 3 annotations'),
    (every('annotations', bbox=[20, 15, 28, 19]), 'not [x1, y1, x2, y2]'),
    (annotation(id=1), ANNOTATION + '`id` 1, like another one (of 1.png)'),
    (annotation(category_id=7),
     ANNOTATION + '`category_id` 7, which is not in `categories`'),
    (annotation(image_id=9),
     ANNOTATION + '`image_id` 9, which is not in `images`'),
    (annotation(image_id='1'), ANNOTATION + "`image_id` '1', which is not"),
    (image(id=0), 'images[1] has the `id` 0, like another one (of 1.png)'),
    (image(id=[1]), 'has an `id` in `images` that is neither'),
    (image(height='20'), "images[1] has the `height` '20'"),
    (image(width=0), 'images[1] has the width and height [0.0, 20.0]'),
    (image(file_name=3), 'images[1] has the `file_name` 3'),
    (image(file_name='no.png'), 'images/no.png: there is no such file '
     '(images[1] of '),
    (categories('bus'), "has no 'car' of the classes of the config; it has "
     "'bus'"),
    (categories('Car'), "Did you mean Car"),
]


@pytest.mark.parametrize('change, message', COCO)
def test_coco(change, message, tmp_path):
    dataset = coco(str(tmp_path))
    edit(f'{tmp_path}/train.json', change)
    text = texts(dataset)[0]
    assert text.startswith(str(tmp_path)) and message in text
    assert '; ' in text or 'Did you mean' in text or 'neither' in text or \
        'no text' in text


def test_coco_that_mmdet_accepts(tmp_path):
    """Boxes past the edge or of no size, classes that are not used."""
    dataset = coco(str(tmp_path))
    edit(f'{tmp_path}/train.json',
         lambda c: c['annotations'][1].update(bbox=[-3, 3, 0, 8]))
    edit(f'{tmp_path}/train.json',
         lambda c: c['annotations'][2].update(bbox=[25, 3, 20, 8]))
    edit(f'{tmp_path}/train.json', categories('car', 'bus'))
    assert texts(dataset) == []
    edit(f'{tmp_path}/train.json', lambda c: c.pop('annotations') and None)
    assert texts(dict(dataset, test_mode=True)) == []
    assert 'has no list `annotations`' in only(dataset)


def test_order_of_classes(tmp_path):
    """mmdet numbers the classes as the file lists them."""
    dataset = coco(str(tmp_path))
    edit(f'{tmp_path}/train.json', categories('car', 'bus'))
    dataset['metainfo'] = dict(classes=('bus', 'car'))
    assert "write classes=('car', 'bus')" in only(dataset)


def test_images_that_are_left_out_may_be_missing(tmp_path):
    dataset = coco(str(tmp_path))
    os.remove(f'{tmp_path}/images/1.png')
    assert 'images/1.png: there is no such file' in only(dataset)
    edit(f'{tmp_path}/train.json', lambda c: c['annotations'].pop(1) and None)
    assert texts(dict(dataset, filter_cfg=dict(filter_empty_gt=True))) == []
    assert texts(dict(dataset, indices=1)) == []


def test_time(tmp_path):
    """Far below what reading the file again costs anybody."""
    dataset = coco(str(tmp_path))
    content = json.load(open(f'{tmp_path}/train.json'))
    one = content['annotations'][0]
    content['annotations'] = [dict(one, id=i) for i in range(100_000)]
    json.dump(content, open(f'{tmp_path}/train.json', 'w'))
    started = time.process_time()
    assert check_datasets([dataset]) == []
    assert time.process_time() - started < 5  # 0.8 s on an idle machine


def test_size_of_the_file(tmp_path):
    dataset = coco(str(tmp_path))
    edit(f'{tmp_path}/train.json', image(height=30, width=20))
    assert only(dataset) == (
        f'{tmp_path}/images/1.png: has 20 x 30 pixels (height x width), but '
        'the annotations say 30 x 20; correct `height`, `width` and the boxes '
        'in the annotations')


def test_several_faults(tmp_path):
    dataset = coco(str(tmp_path))
    edit(f'{tmp_path}/train.json', annotation(bbox=[INF, 3, 10, 8]))
    edit(f'{tmp_path}/train.json', annotation(image_id=9, category_id=8))
    edit(f'{tmp_path}/train.json', categories('bus'))
    found = texts(dataset)
    assert len(found) == 4
    for text in '`image_id` 9', '`category_id` 8', '[inf, 3.0', "no 'car'":
        assert text in ' '.join(found)
