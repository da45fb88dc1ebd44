"""Broken files and annotations are named, in all layouts."""
import json
import os
import pickle

import cv2
import numpy as np
import pytest
import torch

import mmkd.engine.runner  # noqa: F401  (registers the runner)
from mmkd.data.broken import NamingPipeline, files_of
from mmkd.engine.building import NamingRunner
from mmkd.errors import ConfigError, DataError, MMKDError
from mmkd.testing import write_cityscapes


def edit(path, change):
    """Change the content of annotations."""
    binary = path.endswith('.pkl')
    with open(path, 'rb' if binary else 'r') as file:
        content = (pickle if binary else json).load(file)
    content = change(content) or content
    with open(path, 'wb' if binary else 'w') as file:
        (pickle if binary else json).dump(content, file)


def cityscapes(root):
    write_cityscapes(root, 3, 1)
    return dict(
        type='mmseg.CityscapesDataset',
        data_root=root,
        data_prefix=dict(
            img_path='leftImg8bit/train', seg_map_path='gtFine/train'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmseg.LoadAnnotations'),
            dict(type='mmseg.PackSegInputs')
        ])


def coco(root):
    os.makedirs(f'{root}/images')
    for i in range(3):
        cv2.imwrite(f'{root}/images/{i}.png',
                    np.full((20, 30, 3), 40 * i, np.uint8))
    content = dict(
        images=[
            dict(id=i, file_name=f'{i}.png', height=20, width=30)
            for i in range(3)
        ],
        annotations=[
            dict(
                id=i + 1,
                image_id=i,
                category_id=1,
                bbox=[2, 3, 10, 8],
                area=80,
                iscrowd=0) for i in range(3)
        ],
        categories=[dict(id=1, name='car')])
    with open(f'{root}/train.json', 'w') as file:
        json.dump(content, file)
    return dict(
        type='mmdet.CocoDataset',
        data_root=root,
        ann_file='train.json',
        metainfo=dict(classes=('car', )),
        data_prefix=dict(img='images'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='mmdet.LoadAnnotations', with_bbox=True),
            dict(type='mmdet.PackDetInputs')
        ])


def lidar(root, features, label, **instance):
    """Three scans and an index file of mmdet3d."""
    os.makedirs(f'{root}/points')
    random = np.random.RandomState(0)
    infos = []
    for i in range(3):
        points = random.uniform(1, 5, (50, features)).astype(np.float32)
        points.tofile(f'{root}/points/{i}.bin')
        camera = dict(
            img_path=f'{i}.png',
            lidar2cam=np.eye(4).tolist(),
            cam2img=np.eye(4).tolist())
        infos.append(
            dict(
                sample_idx=i,
                token=str(i),
                lidar_points=dict(
                    lidar_path=f'{i}.bin', num_pts_feats=features),
                images=dict(CAM2=camera),
                instances=[
                    dict(
                        bbox_3d=[1., 2., 3., 4., 2., 1.5, 0.],
                        bbox_label_3d=label,
                        bbox_label=label,
                        **instance) for _ in range(2)
                ]))
    with open(f'{root}/infos.pkl', 'wb') as file:
        pickle.dump(
            dict(
                metainfo=dict(
                    categories=dict(Car=0, car=0), dataset='made up'),
                data_list=infos), file)
    return dict(
        data_root=root,
        ann_file='infos.pkl',
        data_prefix=dict(pts='points', sweeps=''),
        modality=dict(use_lidar=True, use_camera=False),
        pipeline=[
            dict(
                type='mmdet3d.LoadPointsFromFile',
                coord_type='LIDAR',
                load_dim=features,
                use_dim=features),
            dict(
                type='mmdet3d.LoadAnnotations3D',
                with_bbox_3d=True,
                with_label_3d=True),
            dict(
                type='mmdet3d.PointsRangeFilter',
                point_cloud_range=[0, 0, 0, 9, 9, 9]),
            dict(
                type='mmdet3d.Pack3DDetInputs',
                keys=['points', 'gt_bboxes_3d', 'gt_labels_3d'])
        ])


def kitti(root):
    return dict(
        lidar(
            root,
            4,
            2,
            bbox=[0., 0., 9., 9.],
            truncated=0.,
            occluded=0,
            alpha=0.),
        type='mmdet3d.KittiDataset',
        metainfo=dict(classes=['Car']))


def nuscenes(root):
    return dict(
        lidar(
            root,
            5,
            0,
            velocity=[1., 0.],
            num_lidar_pts=9,
            bbox_3d_isvalid=True),
        type='mmdet3d.NuScenesDataset',
        metainfo=dict(classes=['car']),
        box_type_3d='LiDAR')


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
    (kitti, 'infos.pkl', without('data_list', 1,
                                 'lidar_points'), "'lidar_points'"),
    (kitti, 'infos.pkl', without('data_list', 1, 'lidar_points', 'lidar_path'),
     'data_list[1] (sample 1) has no `lidar_points.lidar_path`'),
    (kitti, 'infos.pkl', without('data_list', 1, 'instances', 1, 'bbox_3d'),
     'data_list[1] (sample 1): instances[1] has no `bbox_3d`'),
    (kitti, 'infos.pkl',
     without('data_list', 1, 'instances', 0, 'bbox_label_3d'),
     'data_list[1] (sample 1): instances[0] has no `bbox_label_3d`'),
    (nuscenes, 'infos.pkl', without('data_list', 1, 'instances', 1,
                                    'velocity'),
     'data_list[1] (sample 1): instances[1] has no `velocity`'),
    (kitti, 'infos.pkl', without('data_list', 1, 'images', 'CAM2',
                                 'lidar2cam'), "infos.pkl': KeyError: "),
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
