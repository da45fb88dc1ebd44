"""Paths that are no files."""
import os

import pytest

from tests.fixtures.datasets import cityscapes, coco, kitti, only

IMAGE = 'leftImg8bit/train/tinytown/tinytown_000001_000019_leftImg8bit.png'

LABELS = IMAGE.replace('leftImg8bit/',
                       'gtFine/').replace('leftImg8bit.png',
                                          'gtFine_labelTrainIds.png')


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
