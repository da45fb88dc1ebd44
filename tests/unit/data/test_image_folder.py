import os

import cv2
import numpy as np
import pytest

from mmkd.data.image_folder import ImageFolder, LoadImage
from mmkd.errors import ConfigError, DataError
from mmkd.registry import DATASETS


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(('b.png', 'a.JPG', 'sub/c.png', 'note.md')):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if not name.endswith('md'):
            image = np.full((8, 12, 3), 40 * i, np.uint8)
            path.write_bytes(cv2.imencode('.png', image)[1].tobytes())
    video = cv2.VideoWriter(
        str(tmp_path / 'sub/v.avi'), cv2.VideoWriter_fourcc(*'MJPG'), 10,
        (32, 16))
    for i in range(5):
        video.write(np.full((16, 32, 3), 50 * i, np.uint8))
    video.release()
    return str(tmp_path)


def names(dataset):
    return [(os.path.basename(x['img_path']), x.get('frame'))
            for x in map(dataset.get_data_info, range(len(dataset)))]


def test_images_and_frames_in_order(folder):
    found = DATASETS.build(dict(type='ImageFolder', root=folder, every=2))
    assert names(found) == [('a.JPG', None), ('b.png', None), ('c.png', None),
                            ('v.avi', 0), ('v.avi', 2), ('v.avi', 4)]
    sample = found.get_data_info(1)
    assert sample['labelled'] is False and sample['img_id'] == 1
    flat = ImageFolder(folder, recursive=False)
    assert names(flat) == [('a.JPG', None), ('b.png', None)]


def test_lists_and_files(folder, tmp_path):
    (tmp_path / 'list.txt').write_text('sub/c.png\n\nb.png\n')
    found = ImageFolder([f'{folder}/list.txt', f'{folder}/a.JPG'])
    assert [x for x, _ in names(found)] == ['c.png', 'b.png', 'a.JPG']
    (tmp_path / 'list.txt').write_text('b.png\nsub/c.png\nb.png\n')
    found = ImageFolder(f'{folder}/list.txt')
    assert [x for x, _ in names(found)] == ['b.png', 'c.png', 'b.png']
    parts = [{
        x
        for x, _ in names(
            ImageFolder(
                f'{folder}/list.txt', held_out=.01, validation=validation))
    } for validation in (False, True)]
    assert not parts[0] & parts[1] and all(parts)
    (tmp_path / 'list.txt').write_text('gone.png\n')
    with pytest.raises(ConfigError, match='no file .*gone.png, which'):
        ImageFolder(f'{folder}/list.txt')


def test_held_out_files(tmp_path):
    for i in range(200):
        (tmp_path / f'{i}.png').touch()
    parts = [
        names(ImageFolder(str(tmp_path), held_out=.2, validation=validation))
        for validation in (False, True)
    ]
    assert len(parts[0]) + len(parts[1]) == 200
    assert not set(parts[0]) & set(parts[1]) and 20 < len(parts[1]) < 60
    # At least one.
    few = [
        names(
            ImageFolder(str(tmp_path), held_out=1e-9, validation=validation))
        for validation in (False, True)
    ]
    assert [len(part) for part in few] == [199, 1]


def test_folders_as_classes(tmp_path):
    for name in ('cat/1.png', 'cat/more/2.png', 'ant/3.png'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    found = ImageFolder(str(tmp_path), labels='folders')
    assert [(x['label'], x['labelled'])
            for x in map(found.get_data_info, range(3))] == [(0, True),
                                                             (1, True),
                                                             (1, True)]
    assert 'label' not in ImageFolder(str(tmp_path)).get_data_info(0)
    with pytest.raises(ConfigError, match='at least two classes'):
        ImageFolder(str(tmp_path / 'cat'), labels='folders')
    with pytest.raises(ConfigError, match="None or 'folders', not 'names'"):
        ImageFolder(str(tmp_path), labels='names')


def test_errors(tmp_path):
    with pytest.raises(ConfigError, match='there is no image in'):
        ImageFolder(str(tmp_path))
    with pytest.raises(ConfigError, match='there is no file or folder'):
        ImageFolder(str(tmp_path / 'gone'))
    with pytest.raises(ConfigError, match='every is at least 1'):
        ImageFolder(str(tmp_path), every=0)


def test_load_image(folder):
    load = LoadImage()
    image = load(dict(img_path=f'{folder}/b.png'))
    assert image['img'].shape == (8, 12, 3) and image['img_shape'] == (8, 12)
    frame = load(dict(img_path=f'{folder}/sub/v.avi', frame=3))
    assert abs(frame['img'].mean() - 150) < 5
    with pytest.raises(DataError, match='note.md cannot be decoded'):
        open(f'{folder}/note.md', 'w').close()
        load(dict(img_path=f'{folder}/note.md'))
    with pytest.raises(DataError, match='frame 99 of .*v.avi'):
        load(dict(img_path=f'{folder}/sub/v.avi', frame=99))
