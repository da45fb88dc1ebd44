"""Faults that are found in index files, before anything is trained."""
import json
import os
import re
import time

import cv2
import numpy as np
import pytest
from PIL import Image

import mmkd.engine.runner  # noqa: F401  (registers the data sets)
from mmkd.data.checks import (Problem, check_dataset, check_datasets,
                              raise_problems)
from mmkd.errors import DataError
from tests.fixtures.datasets import cityscapes, coco, edit, kitti, nuscenes

IMAGE = 'leftImg8bit/train/tinytown/tinytown_000001_000019_leftImg8bit.png'
LABELS = IMAGE.replace('leftImg8bit/',
                       'gtFine/').replace('leftImg8bit.png',
                                          'gtFine_labelTrainIds.png')
INF, NAN = float('inf'), float('nan')


def annotation(**changes):
    return lambda content: content['annotations'][1].update(changes)


def image(**changes):
    return lambda content: content['images'][1].update(changes)


def categories(*names):
    return lambda content: content.update(
        categories=[dict(id=i + 1, name=n) for i, n in enumerate(names)])


def instance(**changes):
    return lambda content: content['data_list'][1]['instances'][0].update(
        changes)


def box(slot, value):

    def change(content):
        content['data_list'][1]['instances'][1]['bbox_3d'][slot] = value

    return change


def info(*path, value=None):
    """Change a field of the second record, or remove it."""

    def change(content):
        content = content['data_list'][1]
        for key in path[:-1]:
            content = content[key]
        if value is None:
            del content[path[-1]]
        else:
            content[path[-1]] = value

    return change


def every(kind, **changes):

    def change(content):
        for record in content[kind]:
            record.update(changes)

    return change


ANNOTATION = 'train.json: annotations[1] has the '
INFO = 'infos.pkl: data_list[1] (sample 1) has '
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
INFOS = [
    (kitti, info('images'), INFO + 'no `images`'),
    (kitti, info('images', 'CAM2'), INFO + 'no `images.CAM2.lidar2cam`'),
    (kitti, info('images', 'CAM2', 'lidar2cam', value=np.zeros(
        (4, 4))), INFO + 'an `images.CAM2.lidar2cam` that has no inverse'),
    (kitti, info('images', 'CAM2', 'lidar2cam', value=[1, 2]),
     INFO + 'an `images.CAM2.lidar2cam` that is not 4 x 4 numbers'),
]
for layout in (kitti, nuscenes):
    INFOS += [
        (layout, info('lidar_points', 'num_pts_feats'),
         INFO + 'no `lidar_points.num_pts_feats`'),
        (layout, info('lidar_points', 'lidar_path', value=3),
         INFO + 'a `lidar_points.lidar_path` that is no text'),
        (layout, info('lidar_points', 'lidar_path', value='no.bin'),
         'points/no.bin: there is no such file (data_list[1] of '),
        (layout, info('instances'), INFO + 'no `instances`'),
        (layout, instance(bbox_label_3d=99),
         INFO + 'instances[0] with the `bbox_label_3d` 99, but '),
        (layout, instance(bbox_3d=[1., 2.]),
         INFO + 'instances[0] with the `bbox_3d` [1.0, 2.0], which is not 7'),
        (layout, instance(bbox_3d=list('1234567')),
         INFO + "instances[0] with ['1', '2'"),
        (layout, box(0, 1e6), 'the centre is in metres'),
        (layout, box(2, -INF), 'a 3D box is finite'),
        (layout, box(3, 0.), 'sizes are positive'),
        (layout, box(4, -2.), 'sizes are positive'),
        (layout, box(5, 1e6), 'sizes are in metres'),
        (layout, box(6, 1e10), 'the yaw is in radians'),
    ]
INFOS += [
    (nuscenes, instance(velocity=[INF, 0.]),
     INFO + 'instances[0] with the `velocity` [inf, 0.0]'),
    (nuscenes, instance(velocity=[0., NAN]),
     INFO + 'instances[0] with the `velocity` [0.0, nan]'),
]


def texts(dataset):
    return [str(x) for x in check_dataset(dataset)]


def only(dataset):
    found = texts(dataset)
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize('layout', [cityscapes, coco, kitti, nuscenes])
def test_sound_data(layout, tmp_path):
    dataset = layout(str(tmp_path / layout.__name__))
    assert texts(dataset) == []
    assert texts(
        dict(
            type='RepeatDataset',
            times=2,
            dataset=dict(type='ConcatDataset', datasets=[dataset]))) == []


@pytest.mark.parametrize('change, message', COCO)
def test_coco(change, message, tmp_path):
    dataset = coco(str(tmp_path))
    edit(f'{tmp_path}/train.json', change)
    text = texts(dataset)[0]
    assert text.startswith(str(tmp_path)) and message in text
    assert '; ' in text or 'Did you mean' in text or 'neither' in text or \
        'no text' in text


@pytest.mark.parametrize('layout, change, message', INFOS)
def test_infos(layout, change, message, tmp_path):
    dataset = layout(str(tmp_path))
    edit(f'{tmp_path}/infos.pkl', change)
    text = only(dataset)
    assert text.startswith(str(tmp_path)) and message in text
    assert 'data_list[1]' in text


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


def test_infos_that_mmdet3d_accepts(tmp_path):
    """Unknown velocities; boxes that nobody reads."""
    dataset = nuscenes(str(tmp_path / 'nuscenes'))
    path = f'{tmp_path}/nuscenes/infos.pkl'
    edit(path, instance(velocity=[NAN, NAN]))
    assert texts(dataset) == []
    edit(path, instance(bbox_label_3d=3, bbox_3d=[-1000.] * 3 + [-1.] * 4))
    assert texts(dataset) == []
    dataset = kitti(str(tmp_path / 'kitti'))
    edit(f'{tmp_path}/kitti/infos.pkl',
         info('images', 'CAM0', value=dict(cam2img=np.eye(4))))
    assert texts(dataset) == []


@pytest.mark.parametrize('columns', [3, 5, 6])
def test_number_of_columns(columns, tmp_path):
    dataset = kitti(str(tmp_path))
    random = np.random.RandomState(0)
    spread = np.array([30, 20, 1, .3, .1, .05][:columns])
    points = random.randn(1200, columns) * spread
    points = points.astype(np.float32)
    points.tofile(f'{tmp_path}/points/1.bin')
    text = only(dataset)
    assert 'points/1.bin: ' in text and '`load_dim`' in text
    assert f'seems to have {columns} values a point, not 4' in text
    points[:1001].tofile(f'{tmp_path}/points/1.bin')
    assert 'no rows of 4 float32' in only(dataset)


def test_points_in_text(tmp_path):
    dataset = kitti(str(tmp_path))
    np.savetxt(f'{tmp_path}/points/1.bin', np.ones((40, 4)), '%.3f')
    assert 'points/1.bin: is a text' in only(dataset)


def test_old_infos(tmp_path):
    dataset = kitti(str(tmp_path))
    edit(f'{tmp_path}/infos.pkl', lambda content: content['data_list'])
    assert 'seems to be of mmdet3d 0.x' in only(dataset)


# --------------------------------------------------------------- segmentation


def test_label_maps(tmp_path):
    dataset = cityscapes(str(tmp_path))
    labels = cv2.imread(f'{tmp_path}/{LABELS}', -1)
    cv2.imwrite(f'{tmp_path}/{LABELS}', labels[:-2])
    assert re.search(
        rf'{LABELS}: has 30 x 64 pixels .* its image .*{IMAGE} has 32 x 64',
        only(dataset))
    cv2.imwrite(f'{tmp_path}/{LABELS}', np.dstack([labels] * 3))
    assert f'{LABELS}: has pixels of the mode RGB' in only(dataset)
    cv2.imwrite(f'{tmp_path}/{LABELS}', labels.astype(np.uint16) * 300)
    assert f'{LABELS}: has pixels of the mode I;16' in only(dataset)
    os.remove(f'{tmp_path}/{LABELS}')
    assert f'{LABELS}: there is no such file' in only(dataset)
    assert texts(dict(dataset, pipeline=dataset['pipeline'][:1])) == []


@pytest.mark.parametrize('orientation', [6, 8])
def test_rotated_image(orientation, tmp_path):
    """Of a JPEG file; the label map is drawn upright, or as it is stored."""
    dataset = dict(
        cityscapes(str(tmp_path)),
        type='mmseg.BaseSegDataset',
        metainfo=dict(classes=tuple('abcdefghijklmnopqrs')),
        img_suffix='_leftImg8bit.jpg',
        seg_map_suffix='_gtFine_labelTrainIds.png')
    exif = Image.Exif()
    exif[0x0112] = orientation
    folder = os.path.dirname(f'{tmp_path}/{IMAGE}')
    for name in os.listdir(folder):
        Image.open(f'{folder}/{name}').save(
            f'{folder}/{name[:-4]}.jpg',
            **(dict(exif=exif) if name in IMAGE else {}))
    text = only(dataset)
    assert LABELS in text and 'color_ignore_orientation' in text
    dataset['pipeline'][0]['color_type'] = 'color_ignore_orientation'
    assert texts(dataset) == []
    dataset['pipeline'][0].pop('color_type')
    labels = cv2.imread(f'{tmp_path}/{LABELS}', -1)
    cv2.imwrite(f'{tmp_path}/{LABELS}', np.rot90(labels))
    assert texts(dataset) == []


def test_wrong_suffix_and_folder(tmp_path):
    dataset = cityscapes(str(tmp_path))
    assert "ends with '.tif' (it has 3 .png)" in only(
        dict(dataset, img_suffix='.tif'))
    prefix = dict(dataset['data_prefix'], img_path='nowhere')
    assert 'nowhere: there is no such folder' in only(
        dict(dataset, data_prefix=prefix))
    assert 'split.txt: there is no such file' in only(
        dict(dataset, ann_file='split.txt'))


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize('layout, index', [(coco, 'train.json'),
                                           (kitti, 'infos.pkl'),
                                           (cityscapes, 'split.txt')])
@pytest.mark.parametrize('make, what', [
    (os.mkfifo, 'is a named pipe or a device'),
    (os.mkdir, 'is a folder'),
    (lambda path: os.symlink('nowhere', path), 'is a link to nowhere'),
    (lambda path: open(path, 'w').close(), 'is empty'),
])
def test_index_that_is_no_file(layout, index, make, what, tmp_path):
    dataset = dict(layout(str(tmp_path)), ann_file=index)
    if os.path.exists(f'{tmp_path}/{index}'):
        os.remove(f'{tmp_path}/{index}')
    make(f'{tmp_path}/{index}')
    if layout is cityscapes and make is os.mkdir:
        return  # mmseg lists the folder of images then
    assert f'{tmp_path}/{index}: {what}' in only(dataset)


@pytest.mark.parametrize('layout, file', [(coco, 'images/1.png'),
                                          (kitti, 'points/1.bin'),
                                          (cityscapes, LABELS)])
@pytest.mark.parametrize('many', [False, True])
def test_data_that_is_no_file(layout, file, many, tmp_path, monkeypatch):
    monkeypatch.setattr('mmkd.data.checks.files._MANY', 0 if many else 99)
    dataset = layout(str(tmp_path))
    os.remove(f'{tmp_path}/{file}')
    os.mkfifo(f'{tmp_path}/{file}')
    assert f'{tmp_path}/{file}: is a named pipe' in only(dataset)


# --------------------------------------------------------- scope and messages


def test_own_data_sets_are_left_alone(tmp_path):
    from mmdet.datasets import CocoDataset

    class Own(CocoDataset):

        def load_data_list(self):
            return []

    dataset = coco(str(tmp_path))
    edit(f'{tmp_path}/train.json', annotation(bbox=None))
    dataset.pop('type')
    dataset.update(pipeline=[], lazy_init=True)
    assert check_dataset(Own(**dataset)) == []
    assert check_dataset(dict(type='NoSuchDataset')) == []
    assert check_dataset(None) == []
    assert '`bbox` None' in only(CocoDataset(**dataset))


def test_other_storage_is_left_alone(tmp_path):
    dataset = coco(str(tmp_path))
    assert texts(dict(dataset, data_root='s3://bucket')) == []
    assert texts(dict(dataset, backend_args=dict(backend='petrel'))) == []


def test_at_most_ten_lines_different_kinds_first():
    problems = [
        Problem('a.json', f'annotations[{i}]', 'is wrong', 'mend it')
        for i in range(30)
    ]
    problems.append(Problem('a.json', 'images[0]', 'is odd', 'even it'))
    with pytest.raises(DataError) as error:
        raise_problems(problems, '; off')
    lines = error.value.lines
    assert len(lines) == 11
    assert lines[0] == 'a.json: annotations[0] is wrong; mend it'
    assert lines[1] == 'a.json: images[0] is odd; even it'
    assert lines[-1] == '21 more problems of the data; off'
    raise_problems([])


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
