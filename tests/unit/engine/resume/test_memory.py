import pickle
import random

import numpy as np
import pytest
from mmcv.transforms import Compose, RandomChoice
from mmengine.registry import TRANSFORMS, DefaultScope
from mmseg.utils import register_all_modules

from mmkd.engine.resume.memory import MemoryWatch, fingerprint, transforms_of


class Pictures:
    """Random pictures of several sizes; with boxes, for mmdet."""

    def __init__(self, *transforms, boxes=False):
        self.pipeline, self.boxes = Compose(transforms), boxes

    def __len__(self):
        return 9

    def raw(self, index):
        from mmdet.structures.bbox import HorizontalBoxes
        height, width = 24 + index, 40
        dice = np.random.RandomState(index)
        boxes = dict(
            gt_bboxes=HorizontalBoxes(np.float32([[2, 3, 20, 18]])),
            gt_bboxes_labels=np.array([1]),
            gt_ignore_flags=np.array([False]))
        return dict(
            img=dice.randint(0, 255, (height, width, 3)).astype(np.uint8),
            img_shape=(height, width),
            gt_seg_map=dice.randint(0, 3, (height, width)).astype(np.uint8),
            seg_fields=['gt_seg_map'],
            **(boxes if self.boxes else {}))

    def __getitem__(self, index):
        return self.pipeline(self.raw(index))


def remembering(dataset):
    """What is found in three batches of two samples."""
    random.seed(0), np.random.seed(0)
    watch = MemoryWatch(dataset)
    for batch in ((0, 1), (2, 3), (4, 5)):
        for index in batch:
            dataset[index]
        watch.look()
    return watch.names


def made(scope, **options):
    register_all_modules(init_default_scope=False)
    from mmdet.utils import register_all_modules as register_mmdet
    register_mmdet(init_default_scope=False)
    with DefaultScope.overwrite_default_scope(scope):
        return TRANSFORMS.build(options)


SAFE = {
    'RandomResize': ('mmseg',
                     dict(
                         type='RandomResize',
                         scale=(64, 32),
                         ratio_range=(0.5, 2.0),
                         keep_ratio=True)),
    'mmdet: RandomResize':
    ('mmdet', dict(type='RandomResize', scale=[(64, 32), (96, 64)])),
    'RandomChoiceResize':
    ('mmdet',
     dict(type='RandomChoiceResize', scales=[(16, 24), (32, 48), (64, 64)])),
    'RandomCrop':
    ('mmseg', dict(type='RandomCrop', crop_size=(8, 8), cat_max_ratio=0.75)),
    'mmseg: ResizeShortestEdge':
    ('mmseg', dict(type='ResizeShortestEdge', scale=24, max_size=64)),
    'MinIoURandomCrop': ('mmdet', dict(type='MinIoURandomCrop')),
    'Rotate': ('mmdet', dict(type='Rotate', prob=1.0)),
}


@pytest.mark.parametrize('name', SAFE)
def test_library_transforms_that_draw_anew(name):
    scope, options = SAFE[name]
    transform = made(scope, **options)
    boxes = scope == 'mmdet'
    assert remembering(Pictures(transform, boxes=boxes)) == []
    # At any depth, as in the recipes of DETR.
    choice = RandomChoice(transforms=[[transform]])
    assert remembering(Pictures(choice, boxes=boxes)) == []


def test_what_is_listed_does_not_depend_on_the_past():
    """A transform that was used gives what a new one gives."""
    for scope, options in SAFE.values():
        used, new = made(scope, **options), made(scope, **options)
        dataset = Pictures(used, boxes=scope == 'mmdet')
        for index in range(6):
            dataset[index]
        for index in range(6):
            random.seed(index), np.random.seed(index)
            expected = new(dataset.raw(index))
            random.seed(index), np.random.seed(index)
            given = used(dataset.raw(index))
            assert given['img'].tobytes() == expected['img'].tobytes()


@pytest.mark.parametrize('name', ['CachedMosaic', 'CachedMixUp'])
def test_caches_of_images(name):
    transform = made('mmdet', type=name, img_scale=(32, 32))
    assert remembering(Pictures(transform, boxes=True)) == [name]
    nested = RandomChoice(transforms=[[transform]])
    assert remembering(Pictures(nested, boxes=True)) == ['RandomChoice']


@pytest.mark.parametrize('name', ['Mosaic', 'CopyPaste'])
def test_mixing_drawn_samples_is_no_memory(name):
    options = dict(img_scale=(32, 32)) if name == 'Mosaic' else {}
    transform = made('mmdet', type=name, **options)
    dataset = Pictures(transform)
    watch = MemoryWatch(dataset)
    for index in range(3):
        transform.get_indexes(dataset)
        watch.look()
    assert watch.names == []


def test_database_of_objects(tmp_path, monkeypatch):
    """mmdet3d's ObjectSample takes the objects in turn."""
    # Older than numpy 1.24.
    monkeypatch.setattr(np, 'long', np.int64, raising=False)
    from mmdet3d.structures import LiDARInstance3DBoxes, LiDARPoints
    from mmdet3d.utils import register_all_modules as register_mmdet3d
    register_mmdet3d(init_default_scope=False)
    np.zeros((5, 4), np.float32).tofile(tmp_path / 'points.bin')
    objects = [
        dict(
            name='Car',
            path='points.bin',
            box3d_lidar=np.float32([10 * i, 0, 0, 4, 2, 2, 0]))
        for i in range(1, 30)
    ]
    (tmp_path / 'infos.pkl').write_bytes(pickle.dumps(dict(Car=objects)))
    with DefaultScope.overwrite_default_scope('mmdet3d'):
        transform = TRANSFORMS.build(
            dict(
                type='ObjectSample',
                db_sampler=dict(
                    type='DataBaseSampler',
                    data_root=str(tmp_path),
                    info_path=str(tmp_path / 'infos.pkl'),
                    rate=1.0,
                    prepare={},
                    sample_groups=dict(Car=3),
                    classes=['Car'])))

    class Clouds:
        pipeline = [transform]

        def __getitem__(self, index):
            return transform(
                dict(
                    points=LiDARPoints(np.ones((9, 4)), points_dim=4),
                    gt_bboxes_3d=LiDARInstance3DBoxes(
                        np.float32([[0, 0, 0, 4, 2, 2, 0]])),
                    gt_labels_3d=np.array([0])))

    assert remembering(Clouds()) == ['ObjectSample']


class Echo:
    """Gives the last sample, too."""
    last = None

    def __call__(self, results):
        self.last, last = results['img'][0, 0], self.last
        return dict(results, last=last)


class Drawn(Echo):
    overwritten = ('last', )


class Unpicklable(Echo):

    def __reduce__(self):
        raise ValueError


def test_users_transforms():
    assert remembering(Pictures(Echo())) == ['Echo']
    assert remembering(Pictures(Drawn())) == []
    assert remembering(Pictures(Unpicklable())) == ['Unpicklable']
    assert fingerprint(Drawn()) == fingerprint(Drawn())
    assert fingerprint(Unpicklable()) is None


def test_a_resizer_within_may_remember():
    """Only the scale is left out."""
    resize = made('mmseg', **SAFE['RandomResize'][1])
    before = fingerprint(resize)
    resize.resize.scale = (7, 7)
    assert fingerprint(resize) == before
    assert resize.resize.scale == (7, 7)
    resize.resize.seen = 1
    assert fingerprint(resize) != before


def test_wrapped_data_sets_are_looked_through():

    class Wrapper:
        pipeline = None

        def __init__(self, *datasets):
            self.datasets = datasets

    inner, mix = Pictures(Echo()), Pictures(Echo())
    outer = Wrapper(inner, Wrapper(mix))
    assert list(transforms_of(outer)) == [
        *inner.pipeline.transforms, *mix.pipeline.transforms
    ]
