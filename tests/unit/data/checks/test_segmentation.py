"""Faults in pairs of images and label maps."""
import os
import re

import cv2
import numpy as np
import pytest
from PIL import Image

from mmkd.data.checks.segmentation import label_fault
from tests.fixtures.datasets import cityscapes, only, texts

IMAGE = 'leftImg8bit/train/tinytown/tinytown_000001_000019_leftImg8bit.png'

LABELS = IMAGE.replace('leftImg8bit/',
                       'gtFine/').replace('leftImg8bit.png',
                                          'gtFine_labelTrainIds.png')


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


def test_reduced_labels():
    labels = np.array([[1, 2, 3]], np.uint8)
    text = label_fault(labels, 3, (255, ), False)
    assert text.startswith('has the label 3, but there are 3 classes, 0 to 2')
    assert 'set `reduce_zero_label=True`' in text
    assert label_fault(labels - 1, 3, (255, ), True) is None
    assert 'after `reduce_zero_label`' in label_fault(labels, 3, (255, ), True)
    assert 'has the labels 1, 2, 3,' in label_fault(labels, 1, (0, ), False)
    assert label_fault(labels, 1, (1, 2, 3), False) is None
    assert label_fault(labels[:0], 1, (255, ), False) is None
