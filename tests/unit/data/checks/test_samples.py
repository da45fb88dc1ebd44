"""Faults that show only when a sample is read."""
import os

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmkd.data.broken import name_files
from mmkd.data.checks.images import exif_orientation
from mmkd.data.checks.samples import Labels, loaded_fault
from mmkd.engine.building import NamingRunner
from mmkd.errors import DataError
from tests.fixtures.datasets import cityscapes, coco, edit, kitti, nuscenes

IMAGE = 'leftImg8bit/train/tinytown/tinytown_000001_000019_leftImg8bit.png'
LABELS = IMAGE.replace('leftImg8bit/',
                       'gtFine/').replace('leftImg8bit.png',
                                          'gtFine_labelTrainIds.png')


def load(dataset, num_classes=None):
    loader = NamingRunner.build_dataloader(
        dict(
            batch_size=1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dataset))
    name_files(loader.dataset, num_classes)
    return list(loader)


def fault(dataset, num_classes=None):
    with pytest.raises(DataError) as error:
        load(dataset, num_classes)
    assert '\n' not in str(error.value)
    return str(error.value)


def with_camera(root):
    """Scans of nuScenes with an image of each of six cameras."""
    dataset = nuscenes(root)
    os.makedirs(f'{root}/cameras')
    names = [f'CAM_{i}' for i in range(6)]

    def change(content):
        for info in content['data_list']:
            i = info['sample_idx']
            info['images'] = {
                name: dict(info['images']['CAM2'], img_path=f'{name}_{i}.png')
                for name in names
            }
            for name in names:
                cv2.imwrite(f'{root}/cameras/{name}_{i}.png',
                            np.zeros((8, 8, 3), np.uint8))

    edit(f'{root}/infos.pkl', change)
    dataset['modality'] = dict(use_lidar=True, use_camera=True)
    dataset['data_prefix'] = dict(
        pts='points', sweeps='', **dict.fromkeys(names, 'cameras'))
    dataset['pipeline'] = [
        dict(type='mmkd.LoadMultiViewImages'), *dataset['pipeline']
    ]
    return dataset


def test_scan_beside_cameras(tmp_path):
    """The broken scan is named, and not the images beside it."""
    dataset = with_camera(str(tmp_path))
    assert len(load(dataset)) == 3
    with open(f'{tmp_path}/points/1.bin', 'ab') as file:
        file.write(b'abc')
    text = fault(dataset)
    assert text.startswith(f'{tmp_path}/points/1.bin: LoadPointsFromFile: has')
    assert 'CAM' not in text
    os.remove(f'{tmp_path}/points/1.bin')
    assert fault(dataset) == (f'{tmp_path}/points/1.bin: LoadPointsFromFile: '
                              'there is no such file')


def test_one_of_six_cameras(tmp_path):
    dataset = with_camera(str(tmp_path))
    with open(f'{tmp_path}/cameras/CAM_4_1.png', 'w') as file:
        file.write('<html>not found</html>')
    text = fault(dataset)
    assert text.startswith(f'{tmp_path}/cameras/CAM_4_1.png: ')
    assert 'is a text (XML or HTML), not an image' in text
    assert 'CAM_0' not in text


def test_points_that_are_not_finite(tmp_path):
    dataset = with_camera(str(tmp_path))
    points = np.ones((8, 5), np.float32)
    points[3] = np.nan
    points.tofile(f'{tmp_path}/points/1.bin')
    assert fault(dataset) == (f'{tmp_path}/points/1.bin: has 1 of 8 points '
                              'that are not finite')


def test_points_in_text(tmp_path):
    dataset = kitti(str(tmp_path))
    with open(f'{tmp_path}/points/1.bin', 'w') as file:
        file.write('1.5 2.5 3.5 0.5\n' * 40)
    assert f'{tmp_path}/points/1.bin: is a text' in fault(dataset)


@pytest.mark.parametrize('layout, file', [(cityscapes, IMAGE),
                                          (cityscapes, LABELS),
                                          (coco, 'images/1.png'),
                                          (kitti, 'points/1.bin')])
def test_named_pipe(layout, file, tmp_path):
    """Reading it would never end."""
    dataset = layout(str(tmp_path))
    os.remove(f'{tmp_path}/{file}')
    os.mkfifo(f'{tmp_path}/{file}')
    if file == IMAGE:  # mmseg's listing leaves it out
        assert len(load(dataset)) == 2
        dataset['ann_file'] = f'{tmp_path}/split.txt'
        with open(dataset['ann_file'], 'w') as split:
            split.write(
                file.split('train/')[1].replace('_leftImg8bit.png', ''))
    assert fault(dataset).startswith(f'{tmp_path}/{file}: is a named pipe')


def test_index_that_is_a_named_pipe(tmp_path):
    dataset = coco(str(tmp_path))
    os.remove(f'{tmp_path}/train.json')
    os.mkfifo(f'{tmp_path}/train.json')
    assert fault(dataset) == (f'{tmp_path}/train.json: is a named pipe or a '
                              'device, not a file')


def test_size_of_an_image_of_coco(tmp_path):
    dataset = coco(str(tmp_path))
    cv2.imwrite(f'{tmp_path}/images/1.png', np.zeros((22, 30, 3), np.uint8))
    assert fault(dataset) == (
        f'{tmp_path}/images/1.png: has 22 x 30 pixels (height x width), but '
        'the annotations say 20 x 30; correct `height`, `width` and the boxes '
        'in the annotations')


def test_rotated_image_of_coco(tmp_path):
    dataset = coco(str(tmp_path))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = f'{tmp_path}/images/1.png'
    Image.open(path).save(path, exif=exif)
    assert exif_orientation(path) == 6
    # OpenCV 4.11 heeds the tag in PNG files as it does in JPEG files, or not.
    if cv2.imread(path).shape[0] == 30:
        assert 'EXIF orientation 6' in fault(dataset)
    with open(path, 'rb') as file:
        assert Image.open(file).size == (30, 20)
    dataset['pipeline'][0]['color_type'] = 'color_ignore_orientation'
    assert len(load(dataset)) == 3


def test_label_maps(tmp_path):
    dataset = cityscapes(str(tmp_path))
    labels = cv2.imread(f'{tmp_path}/{LABELS}', -1)
    cv2.imwrite(f'{tmp_path}/{LABELS}', labels[:-2])
    assert fault(dataset) == (
        f'{tmp_path}/{LABELS}: has 30 x 64 pixels (height x width), but its '
        f'image {tmp_path}/{IMAGE} has 32 x 64; a label map has the size of '
        'its image')
    # As mmseg does to test: a label map of the image before it is resized.
    dataset['pipeline'].insert(
        1, dict(type='mmseg.Resize', scale=(32, 16), keep_ratio=True))
    assert f'image {tmp_path}/{IMAGE} has 32 x 64' in fault(dataset)
    cv2.imwrite(f'{tmp_path}/{LABELS}', labels)
    assert len(load(dataset)) == 3
    cv2.imwrite(f'{tmp_path}/{LABELS}', np.dstack([labels] * 3))
    assert f'{LABELS}: has the shape (32, 64, 3); a label' in fault(dataset)


def test_labels_of_no_class(tmp_path):
    dataset = cityscapes(str(tmp_path))
    labels = cv2.imread(f'{tmp_path}/{LABELS}', -1)
    labels[0, :2] = 255, 40
    cv2.imwrite(f'{tmp_path}/{LABELS}', labels)
    assert f'{LABELS}: has the label 40, but there are 19 classes' in fault(
        dataset)
    labels[0, 1] = 255
    cv2.imwrite(f'{tmp_path}/{LABELS}', labels)
    assert len(load(dataset)) == 3
    # The head may have fewer classes than the data set.
    assert 'there are 13 classes, 0 to 12' in fault(dataset, 13)


def test_only_what_a_transform_has_loaded():
    """Crops and resized images have other sizes."""
    image = np.zeros((4, 4, 3), np.uint8)
    data = dict(img_path='a.png', height=5, width=4)
    assert loaded_fault(set(), dict(img=image), data, Labels())
    assert loaded_fault({'img'}, dict(img=image), data, Labels()) is None
    assert loaded_fault(set(), torch.zeros(1), data, Labels()) is None
