"""Broken files and annotations are named, in all layouts."""
import os

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS

import mmkd.engine.runner  # noqa: F401  (registers the runner)
from mmkd.data.broken import NamingPipeline, files_of, read_samples
from mmkd.engine.building import NamingRunner
from mmkd.errors import ConfigError, DataError, MMKDError
from tests.fixtures.datasets import cityscapes, coco, edit, kitti, nuscenes


def load(dataset, workers=0):
    """All samples, as a run would get them."""
    loader = NamingRunner.build_dataloader(
        dict(
            batch_size=1,
            num_workers=workers,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dataset))
    return list(loader)


def truncate(path):
    with open(path, 'r+b') as file:
        file.truncate(os.path.getsize(path) // 3)


def no_header(path):
    with open(path, 'wb') as file:
        file.write(b'no picture')


def set_box(value, slot):

    def change(content):
        content['data_list'][1]['instances'][0]['bbox_3d'][slot] = value

    return change


def without(*path):
    """Remove a field of the second record."""

    def change(content):
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return change


def points(values):
    """Points at these places, on the diagonal."""

    def change(path):
        features = 5 if 'nuscenes' in path else 4
        np.array([[value] * features for value in values],
                 np.float32).tofile(path)

    return change


IMAGE = 'leftImg8bit/train/tinytown/tinytown_000001_000019_leftImg8bit.png'
LABELS = IMAGE.replace('leftImg8bit',
                       'gtFine').replace('gtFine.png',
                                         'gtFine_labelTrainIds.png')
CASES = [
    # Layout, file, what happens to it, what the message says.
    (cityscapes, IMAGE, truncate, IMAGE),
    (cityscapes, IMAGE, no_header, IMAGE),
    (cityscapes, IMAGE, lambda path: open(path, 'w').close(), IMAGE),
    (cityscapes, LABELS, no_header, 'tinytown_000001_000019'),
    (cityscapes, LABELS, os.remove, 'tinytown_000001_000019'),
    (coco, 'images/1.png', no_header, 'images/1.png'),
    (coco, 'images/1.png', os.remove, 'images/1.png'),
    (coco, 'train.json', truncate, 'train.json: cannot be read'),
    (coco, 'train.json', os.remove, 'train.json: there is no such file'),
    (coco, 'train.json', without('annotations', 1, 'bbox'),
     'train.json: annotations[1] has no `bbox` (of 1.png)'),
    (coco, 'train.json', without('annotations', 1, 'image_id'),
     'train.json: annotations[1] has no `image_id`'),
    (coco, 'train.json', without('annotations', 1, 'category_id'),
     'train.json: annotations[1] has no `category_id` (of 1.png)'),
    (coco, 'train.json', without('images', 1, 'file_name'),
     'train.json: images[1] has no `file_name`'),
    (coco, 'train.json', without('images', 1, 'height'),
     'train.json: images[1] has no `height` (of 1.png)'),
    (coco, 'train.json', without('categories'),
     'train.json: has no list `categories`'),
    (coco, 'train.json', without('images'),
     'train.json: has no list `images`'),
    (coco, 'train.json', lambda content: [content],
     'train.json: is not a dict'),
]
for layout in (kitti, nuscenes):
    CASES += [
        (layout, 'points/1.bin', os.remove, 'points/1.bin'),
        (layout, 'points/1.bin', points([]), 'points/1.bin: no point is left'),
        (layout, 'points/1.bin', points([20.]),
         'points/1.bin: no point is left'),
        (layout, 'points/1.bin', truncate, 'points/1.bin'),
        (layout, 'infos.pkl', set_box(0., 4),
         'points/1.bin: a 3D box has no size'),
        (layout, 'infos.pkl', set_box(-2., 3),
         'points/1.bin: a 3D box has no size'),
        (layout, 'infos.pkl', set_box(float('nan'), 0),
         'points/1.bin: a 3D box is not finite'),
    ]
CASES += [
    (kitti, 'infos.pkl', truncate, 'infos.pkl: cannot be read'),
    (kitti, 'infos.pkl', os.remove, 'infos.pkl: there is no such file'),
    (kitti, 'infos.pkl', without('data_list'),
     'infos.pkl: has no list `data_list`'),
    (kitti, 'infos.pkl', without('metainfo'), 'infos.pkl: has no `metainfo`'),
    (kitti, 'infos.pkl', without('data_list', 1, 'lidar_points'),
     'infos.pkl: data_list[1] (sample 1) has no `lidar_points`'),
    (kitti, 'infos.pkl', without('data_list', 1, 'lidar_points', 'lidar_path'),
     'data_list[1] (sample 1) has no `lidar_points.lidar_path`'),
    (kitti, 'infos.pkl', without('data_list', 1, 'instances', 1, 'bbox_3d'),
     'data_list[1] (sample 1) has instances[1] without `bbox_3d`'),
    (kitti, 'infos.pkl',
     without('data_list', 1, 'instances', 0, 'bbox_label_3d'),
     'data_list[1] (sample 1) has instances[0] without `bbox_label_3d`'),
    (nuscenes, 'infos.pkl', without('data_list', 1, 'instances', 1,
                                    'velocity'),
     'data_list[1] (sample 1) has instances[1] without `velocity`'),
    (kitti, 'infos.pkl', without('data_list', 1, 'images', 'CAM2',
                                 'lidar2cam'),
     'infos.pkl: data_list[1] (sample 1) has no `images.CAM2.lidar2cam`'),
]


@pytest.mark.parametrize('layout', [cityscapes, coco, kitti, nuscenes])
def test_whole_data_loads(layout, tmp_path):
    assert len(load(layout(str(tmp_path / layout.__name__)))) == 3


@pytest.mark.parametrize('case', CASES, ids=lambda case: case[3])
def test_broken(case, tmp_path):
    layout, file, damage, message = case
    root = str(tmp_path / layout.__name__)
    dataset = layout(root)
    path = f'{root}/{file}'
    if file.endswith(
        ('.json', '.pkl')) and damage not in (truncate, os.remove):
        edit(path, damage)
    else:
        damage(path)
    with pytest.raises(MMKDError) as error:
        load(dataset)
    for part in message.split(': ', 1):
        assert part in str(error.value)
    assert root in str(error.value)
    assert '\n' not in str(error.value)


def test_boxes_without_size_are_left_out_of_coco(tmp_path):
    """As mmdet does."""
    dataset = coco(str(tmp_path / 'coco'))
    edit(f'{tmp_path}/coco/train.json',
         lambda content: content['annotations'][1].update(bbox=[2, 3, 0, 8]))
    counts = [
        len(sample.gt_instances) for batch in load(dataset)
        for sample in batch['data_samples']
    ]
    assert counts == [1, 0, 1]


def test_from_a_worker(tmp_path):
    """The message, and not the trace of another process."""
    root = str(tmp_path / 'cityscapes')
    dataset = cityscapes(root)
    no_header(f'{root}/{IMAGE}')
    with pytest.raises(DataError) as error:
        load(dataset, workers=1)
    assert str(error.value).startswith(root)
    assert f'{IMAGE}' in str(error.value)
    assert 'LoadImageFromFile' in str(error.value)
    assert 'Traceback' not in str(error.value)


def test_wrong_settings(tmp_path):
    dataset = coco(str(tmp_path / 'coco'))
    with pytest.raises(ConfigError, match='CocoDataset, .*TypeError.*anfile'):
        load(dict(dataset, anfile='x'))
    with pytest.raises(ConfigError, match='CocoDatasset'):
        load(dict(dataset, type='mmdet.CocoDatasset'))


def test_within_wrappers(tmp_path):
    dataset = dict(
        type='RepeatDataset',
        times=2,
        dataset=dict(
            type='ConcatDataset', datasets=[coco(str(tmp_path / 'coco'))]))
    assert len(load(dataset)) == 6
    edit(f'{tmp_path}/coco/train.json', without('annotations', 1, 'bbox'))
    with pytest.raises(DataError, match='no `bbox`'):
        load(dataset)


def test_pipeline():

    def fail(data):
        raise DataError('as it is')

    assert NamingPipeline([lambda data: None, fail])(dict(a=1)) is None
    with pytest.raises(DataError, match='^as it is$'):
        NamingPipeline([fail])(dict(img_path='a.png'))
    with pytest.raises(DataError, match='^sample 7: function: KeyError'):
        NamingPipeline([lambda data: data['x']])(dict(sample_idx=7))
    scan = torch.ones(2, 4)
    scan[0, 0] = torch.nan
    with pytest.raises(DataError, match='not finite'):
        NamingPipeline([])(dict(inputs=dict(points=scan)))
    assert files_of(
        dict(images=dict(CAM_A=dict(img_path='a'), CAM_B=dict(
            img_path='b')))) == 'a, b'
    assert files_of([]) == 'a sample'


def test_reading_some_samples(tmp_path):
    """All broken samples are named, and no random number is drawn."""
    root = str(tmp_path / 'cityscapes')
    dataset = DATASETS.build(cityscapes(root))
    assert read_samples(dataset) == []
    no_header(f'{root}/{IMAGE}')
    os.remove(f'{root}/{LABELS}'.replace('000001', '000002'))
    state = np.random.get_state()[1].tolist()
    found = read_samples(dataset)
    assert [x.file for x in found] == [
        f'{root}/{IMAGE}', f'{root}/{LABELS}'.replace('000001', '000002')
    ]
    assert 'LoadAnnotations: there is no such file' in str(found[1])
    assert len(read_samples(dataset, limit=1)) == 0
    assert np.random.get_state()[1].tolist() == state
    labels = read_samples(dataset, num_classes=5)
    assert len(labels) == 3 and 'there are 5 classes' in str(labels[0])
