import numpy as np
import pytest

from mmkd.data.augmentation import ColorJitter, RandomResizedCrop
from mmkd.errors import ConfigError


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def test_crops_have_the_size_and_come_again(image):
    crop = RandomResizedCrop((16, 24))
    found = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        result = crop(dict(img=image))
        assert result['img'].shape == (16, 24, 3)
        assert result['img_shape'] == (16, 24)
        found.append(result['img'])
    assert (found[0] == found[1]).all() and (found[0] != found[2]).any()


def test_areas_and_ratios():
    crop = RandomResizedCrop(8)
    boxes = [crop._rectangle(100, 100) for _ in range(300)]
    for top, left, height, width in boxes:
        assert top >= 0 and left >= 0
        assert top + height <= 100 and left + width <= 100
        assert .13 < height * width / 1e4 <= 1
        assert .7 < width / height < 1.4
    areas = [height * width / 1e4 for _, _, height, width in boxes]
    assert min(areas) < .2 and max(areas) > .8


def test_images_that_no_draw_fits():
    assert RandomResizedCrop(
        8, scale=(1., 1.))._rectangle(10, 100) == (0, 43, 10, 13)
    with pytest.raises(ConfigError, match='ranges of positive'):
        RandomResizedCrop(8, scale=(0, 1))


def test_colours(image):
    same = ColorJitter(1, 0, 0, 0, 0)(dict(img=image))['img']
    assert np.abs(same.astype(int) - image).max() <= 1
    changed = ColorJitter(1)(dict(img=image))['img']
    assert changed.dtype == np.uint8 and (changed != image).any()
    assert ColorJitter(0)(dict(img=image))['img'] is image


def test_what_each_range_changes(image):
    grey = np.repeat(image[..., :1], 3, 2)
    for ranges in (dict(saturation=1.), dict(hue=.5)):
        none = dict(brightness=0, contrast=0, saturation=0, hue=0)
        found = ColorJitter(1, **{**none, **ranges})(dict(img=grey))['img']
        assert np.abs(found.astype(int) - grey).max() <= 1
    with pytest.raises(ConfigError, match='hue in'):
        ColorJitter(hue=.7)
