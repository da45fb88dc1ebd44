import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler

from mmkd import apis
from mmkd.engine.checks.batches import (batch_norm_fault, check_training,
                                        check_validation)
from mmkd.errors import ConfigError
from mmkd.testing import segmentation_config, segmentor


def pooling():
    """A segmentor whose head normalises a single value of an image."""
    model = segmentor(size=None)['model']
    head = model['decode_head']
    for key in ('num_convs', 'concat_input'):
        head.pop(key)
    head.update(type='PSPHead', pool_scales=(1, 2))
    return model


def built(cityscapes, tmp_path, model=None):
    runner = apis.build_runner(
        segmentation_config(cityscapes, str(tmp_path), model, max_iters=1))
    runner._val_loop = runner.build_val_loop(runner._val_loop)
    return runner


def look(runner):
    return check_validation(runner.model, runner.val_dataloader,
                            runner.val_loop.evaluator)


def test_nothing_changes(cityscapes, tmp_path):
    runner = built(cityscapes, tmp_path)
    model = runner.model.train()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    assert look(runner) == []
    assert torch.get_rng_state().equal(state)
    assert all(module.training for module in model.modules())
    for key, value in model.state_dict().items():
        assert value.equal(before[key]), key
    assert runner.val_loop.evaluator.metrics[0].results == []


def test_layers_of_a_single_value(cityscapes, tmp_path):
    runner = built(cityscapes, tmp_path, pooling())
    assert look(runner) == ['decode_head.psp_modules.0.1.bn']
    for module in runner.model.modules():
        # As `norm_eval` of a backbone does.
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train = lambda mode=True: None
            module.training = False
    assert look(runner) == []


def test_failures_are_named(cityscapes, tmp_path, monkeypatch):
    runner = built(cityscapes, tmp_path)

    def process(*args):
        raise KeyError('gt_sem_seg')

    monkeypatch.setattr(
        type(runner.val_loop.evaluator.metrics[0]), 'process', process)
    with pytest.raises(
            ConfigError, match='`val_evaluator` does not .*gt_sem_seg'):
        look(runner)

    def val_step(batch):
        assert False, 'should be divisible by 16'

    monkeypatch.setattr(copy, 'deepcopy', lambda value: value)
    monkeypatch.setattr(runner.model, 'val_step', val_step)
    with pytest.raises(
            ConfigError,
            match='on the validation data .images of 32x64.*divisible by 16; '
            '`size_divisor` of the data preprocessor'):
        look(runner)


@pytest.mark.parametrize('count, size, drop_last, said', [
    (8, 1, False, 'batches have one image.*larger `batch_size`'),
    (9, 2, False, 'last batch of an epoch has one image.*`drop_last=True`'),
    (9, 2, True, None),
    (8, 2, False, None),
])
def test_batches_of_one(count, size, drop_last, said):
    data = list(range(count))
    sampler = BatchSampler(DefaultSampler(data), size, drop_last)
    fault = batch_norm_fault(SimpleNamespace(batch_sampler=sampler), ['a.bn'])
    if said is None:
        assert fault is None
    else:
        assert 'batch normalisation a.bn' in fault
        assert pytest.importorskip('re').search(said, fault)
    assert batch_norm_fault(SimpleNamespace(batch_sampler=sampler), []) is None


def test_endless_samplers_have_no_last_batch():
    sampler = BatchSampler(InfiniteSampler([0, 1, 2]), 2, False)
    loader = SimpleNamespace(batch_sampler=sampler)
    assert batch_norm_fault(loader, ['a.bn']) is None


def test_a_training_batch_changes_nothing(cityscapes, tmp_path):
    runner = built(cityscapes, tmp_path)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    model, loader = runner.model, runner.train_dataloader
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    assert check_training(model, loader) > 0
    assert torch.get_rng_state().equal(state)
    for key, value in model.state_dict().items():
        assert value.equal(before[key]), key
    model.decode_head.loss_decode = None
    with pytest.raises(ConfigError, match='does not run on the training data'):
        check_training(model, loader)


def test_samplers_of_a_special_kind_are_left_alone():
    assert check_training(
        None, SimpleNamespace(
            batch_sampler=SimpleNamespace(sampler=iter([3])))) is None
