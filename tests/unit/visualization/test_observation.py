"""Looking at images with a copy of the model."""
import copy
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose

from mmkd.core.model import DistillationModel
from mmkd.errors import ConfigError
from mmkd.testing import (detection_batch, detector, segmentation_batch,
                          segmentor)
from mmkd.visualization import Boxes, Gallery, Observer, frozen_copy


class Images(list):
    """Samples in memory, in place of a data set."""
    metainfo = dict(classes=('car', 'bus', 'van'), palette=[(1, 2, 3)] * 3)


def images_of(batch):
    return Images(
        dict(inputs=image, data_samples=sample)
        for image, sample in zip(batch['inputs'], batch['data_samples']))


def build(network, distillers, **preprocessor):
    return DistillationModel(
        network(4, **preprocessor),
        dict(teacher=dict(cfg=network(8), ckpt='random')),
        distillers,
        dry_run_size=(64, 64)).train()


def state_of(model):
    return copy.deepcopy(
        model.state_dict()), [module.training for module in model.modules()]


def test_nothing_changes():
    model = build(segmentor,
                  dict(bpkd=dict(type='BPKD'), mgd=dict(type='MGD')))
    data = images_of(segmentation_batch(3))
    before, modes = state_of(model)
    draws = torch.get_rng_state(), np.random.get_state()[1], random.getstate()
    found = [list(Observer(data).look(model)) for _ in range(2)]
    assert torch.get_rng_state().equal(draws[0])
    assert (np.random.get_state()[1] == draws[1]).all()
    assert random.getstate() == draws[2]
    after, modes_after = state_of(model)
    assert modes == modes_after
    assert all(value.equal(after[key]) for key, value in before.items())
    assert not any(p.grad is not None for p in model.parameters())
    # The same at every look, random masks included.
    for first, second in zip(*found):
        for name, visuals in first.visuals.items():
            for one, other in zip(visuals, second.visuals[name]):
                assert one.values.nan_to_num().equal(other.values.nan_to_num())


def test_scene_of_a_segmentor():
    model = build(segmentor, dict(bpkd=dict(type='BPKD')))
    batch = segmentation_batch(1, size=(24, 48))
    scene = next(Observer(images_of(batch), [0]).look(model)).scene
    image = batch['inputs'][0].flip(0).permute(1, 2, 0).numpy()
    assert (scene.image == image).all()  # red first, without padding
    assert scene.size == (32, 64)
    labels = batch['data_samples'][0].gt_sem_seg.data[0, :24, :48]
    assert (scene.panels['truth'] == labels.numpy()).all()
    assert set(scene.panels) == {'truth', 'student', 'teacher'}
    for panel in scene.panels.values():
        assert panel.shape == (24, 48)


def test_scene_of_a_detector():
    model = build(detector, dict(fgd=dict(type='FGD')))
    batch = detection_batch(1, size=(40, 50))
    # As if the image had been resized and flipped on its way.
    batch['data_samples'][0].set_metainfo(
        dict(scale_factor=(2., 2.), ori_shape=(20, 25), flip=True))
    data = images_of(batch)
    scene = next(Observer(data, [0], score_thr=0).look(model)).scene
    truth = batch['data_samples'][0].gt_instances.bboxes
    assert (scene.panels['truth'].boxes == truth.numpy()).all()
    for side in ('student', 'teacher'):
        found = scene.panels[side]
        assert isinstance(found, Boxes) and len(found.boxes) == 10
        assert found.boxes[:, 2].max() > 25 and found.boxes.max() <= 50
    plain = Observer(data, [0], predictions=False).look(model)
    assert set(next(plain).scene.panels) == {'truth'}


def test_other_classes_are_not_shown():
    model = build(detector, dict(mgd=dict(type='MGD')))
    model.teachers['teacher'].classes = ['cat', 'dog', 'cow']
    scene = next(Observer(images_of(detection_batch(1))).look(model)).scene
    assert set(scene.panels) == {'truth', 'student'}


def test_copy_leaves_chance_out():
    augment = dict(
        type='BatchSyncRandomResize',
        random_size_range=(64, 96),
        size_divisor=32,
        interval=1)
    model = build(
        detector, dict(mgd=dict(type='MGD')), batch_augments=[augment])
    frozen = frozen_copy(model)
    assert frozen.student.data_preprocessor.batch_augments is None
    assert model.student.data_preprocessor.batch_augments
    assert frozen.teachers['teacher'] is model.teachers['teacher']
    assert frozen.student.training and not frozen.distillers.training
    norms = [
        module for module in frozen.student.modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    ]
    assert norms and not any(norm.training for norm in norms)


class LoadImage:

    def __call__(self, results):
        return dict(results, image=results['img_path'], size=4)


class Resize:

    def __call__(self, results):
        return dict(results, size=results['size'] // 2)


class LoadAnnotations:

    def __call__(self, results):
        return dict(results, truth_at=results['size'])


class Files(Images):
    """A data set with a pipeline that loads the truth last."""

    def __init__(self):
        super().__init__(['a/one.png', 'b/two.png', 'b/three.png'])
        self.pipeline = Compose([LoadImage(), Resize(), LoadAnnotations()])

    def get_data_info(self, index):
        return dict(img_path=list.__getitem__(self, index))

    def __getitem__(self, index):
        return self.pipeline(self.get_data_info(index))


def test_truth_is_loaded_before_the_image_changes():
    data = Files()
    assert Observer(data).dataset[0]['truth_at'] == 4
    assert data[0]['truth_at'] == 2


def test_choice(tmp_path):
    data = Files()
    assert Observer(data, 2).images == [0, 1]
    assert Observer(data, 9).images == [0, 1, 2]
    assert Observer(data, [2, 'two.png', 'b/three.png']).images == [2, 1, 2]
    file = tmp_path / 'other.png'
    file.write_bytes(b'')
    observer = Observer(data, [str(file)])
    assert observer.images == [str(file)]
    assert 'truth_at' not in observer._load(str(file))
    with pytest.raises(ConfigError, match='numbers 0 to 2'):
        Observer(data, [3])
    with pytest.raises(ConfigError, match='Did you mean three.png'):
        Observer(data, ['thre.png'])


def test_gallery(tmp_path):
    taps = dict(student='neck[3:5]', teacher='neck[3:5]')
    model = build(
        detector,
        dict(
            acam=dict(type='ACAM', num_masks=2, **taps),
            off=dict(type='MGD', loss_weight=0., **taps)))
    data = images_of(detection_batch(1))
    data[0]['data_samples'].set_metainfo(dict(img_path='x/a street.png'))
    gallery, observer = Gallery(str(tmp_path)), Observer(data)
    names = [
        set(gallery.add(step, observation)) for step in (0, 10)
        for observation in observer.look(model)
    ]
    assert names[0] == {'acam/a_street', 'off/a_street'}
    assert 'acam/a_street/strip_level_1' in names[1]
    folder = tmp_path / 'acam' / 'a_street'
    assert {path.name
            for path in folder.iterdir()} == {
                'iter_000000.png', 'iter_000010.png', 'history.npz',
                'strip_level_0.png', 'strip_level_1.png'
            }
