"""Sizes of images with an EXIF orientation."""
import logging

import cv2
import numpy as np
import pytest
from PIL import Image

from mmkd.data.checks.images import (exif_orientation, loaded_sizes,
                                     size_remedy, some_of, warn_of_turned)


def write(path, orientation, size=(20, 30)):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path, exif=exif)
    return str(path)


@pytest.mark.parametrize('orientation', range(10))
@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp'])
def test_as_opencv_loads_it(orientation, suffix, tmp_path):
    path = write(tmp_path / f'a.{suffix}', orientation)
    sizes = loaded_sizes(path, {})
    assert cv2.imread(path).shape[:2] in sizes
    assert len(sizes) == 1 or suffix != 'jpg'
    stored = dict(color_type='color_ignore_orientation')
    assert loaded_sizes(path, stored) == {(20, 30)}
    assert (20, 30) in loaded_sizes(path, dict(imdecode_backend='turbojpeg'))
    assert ('EXIF' in (size_remedy(path) or '')) == (5 <= orientation <= 8)
    assert exif_orientation(path) == (
        orientation if orientation in range(1, 9) else 1)


def test_unknown_formats(tmp_path):
    (tmp_path / 'a.jpg').write_text('no image')
    assert loaded_sizes(str(tmp_path / 'a.jpg'), {}) == set()
    assert exif_orientation(str(tmp_path / 'a.jpg')) == 1


def test_turned_without_a_change_of_size(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr('mmkd.data.checks.images.print_log',
                        lambda *args: lines.append(args))
    paths = [
        write(tmp_path / 'a.jpg', 6),
        write(tmp_path / 'b.jpg', 3),
        write(tmp_path / 'c.jpg', 6, (20, 20)),
        write(tmp_path / 'd.jpg', 1)
    ]
    warn_of_turned(paths, {})
    (text, _, level), = lines
    assert text.startswith(f'{paths[1]} (and 1 of 3 other images)')
    assert 'orientation 3' in text and level == logging.WARNING
    warn_of_turned(paths, dict(color_type='color_ignore_orientation'))
    warn_of_turned(paths[:1], {})
    assert len(lines) == 1


def test_some_of():
    assert some_of(range(5)) == [0, 1, 2, 3, 4]
    assert len(some_of(range(999))) == 100 and some_of(range(999))[1] == 9
