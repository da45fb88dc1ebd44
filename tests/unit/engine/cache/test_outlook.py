import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mmkd.core.cache.keys import content_key
from mmkd.engine.cache.outlook import drawing_transforms, outlook
from mmkd.engine.cache.views import ViewDataset
from mmkd.errors import ConfigError
from mmkd.utils.rng import random_state


class Flip:

    def __call__(self, image):
        return image[::-1] if np.random.rand() < 0.5 else image


class Jitter:

    def __call__(self, image):
        return image + random.random() + torch.rand(1).item()


class Keep:

    def __call__(self, image):
        return image


class Images:

    def __init__(self, *transforms, size=100):
        self.size = size
        self.pipeline = SimpleNamespace(transforms=list(transforms))

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        image = np.arange(index, index + 4.)
        for transform in self.pipeline.transforms:
            image = transform(image)
        return image


class Cache:
    """A cache whose records have 30 bytes for the 4 pixels of an image."""

    def __init__(self, views=None, stored=()):
        self.options = SimpleNamespace(views=views)
        self.store = set(stored)
        self.checked = 0

    def frames(self, data):
        return SimpleNamespace(
            keys=[content_key(data)], samples=[dict(inputs=data)])

    def pixels(self, frames):
        return 4.

    def compute(self, sample):
        return [SimpleNamespace(layout=SimpleNamespace(sizes=(10, 20)))]

    def check_equal(self, first, second):
        self.checked += 1


def look(dataset, cache):
    loader = SimpleNamespace(
        dataset=dataset, collate_fn=lambda samples: samples[0])
    found = outlook(dict(t=cache), loader)['t']
    assert cache.checked == 1
    return found


def test_no_augmentation():
    cache = Cache()
    found = look(Images(Keep()), cache)
    assert (found.hit_rate, found.stored, found.views) == (1, 0, 1)
    assert found.samples == 50 and found.gigabytes == 100 * 30 / 1e9
    assert '100% of 50 samples' in str(found)


def test_flips():
    before = random_state()
    found = look(Images(Keep(), Flip()), Cache())
    assert 0.3 < found.hit_rate < 0.7 and found.views in (2, 3)
    assert found.gigabytes == 100 * found.views * 30 / 1e9
    assert str(random_state()) == str(before)


def test_what_is_stored_counts():
    keys = [content_key(np.arange(i, i + 4.)) for i in range(100)]
    assert look(Images(Keep()), Cache(stored=keys)).stored == 1


def test_nothing_comes_again():
    with pytest.raises(
            ConfigError,
            match="teacher 't': its cache would never hit.*random "
            'transforms: Flip, Jitter; give the cache `views=8`'):
        look(Images(Keep(), Flip(), Jitter()), Cache())


def test_views():
    found = look(ViewDataset(Images(Jitter()), 0), Cache(views=4))
    assert (found.hit_rate, found.views) == (1, 4)
    assert found.gigabytes == 100 * 4 * 30 / 1e9


def test_views_of_a_transform_that_remembers():

    class Count:
        total = 0

        def __call__(self, image):
            self.total += 1
            return image * 1000 + self.total

    with pytest.raises(ConfigError, match='what a transform remembers; give'):
        look(ViewDataset(Images(Count()), 0), Cache(views=4))


def test_drawing_transforms_of_nested_data_sets():
    inner = Images(Flip())
    outer = SimpleNamespace(dataset=inner, pipeline=[Jitter()])

    class Outer:

        def __init__(self):
            vars(self).update(vars(outer))

        def __getitem__(self, index):
            return self.pipeline[0](self.dataset[index])

    assert drawing_transforms(Outer(), [0, 1]) == ['Flip', 'Jitter']
    assert type(inner.pipeline.transforms[0]) is Flip
