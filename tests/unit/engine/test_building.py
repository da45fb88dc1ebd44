import os

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmkd import apis
from mmkd.errors import ConfigError, DataError
from mmkd.testing import (distillation_config, segmentation_config,
                          write_cityscapes)

CASES = {
    'param_scheduler.0.powre': (2, '`param_scheduler`: .*powre'),
    'optim_wrapper.optimizer.lr':
    ('fast', "`optim_wrapper`: TypeError: .*'str' and 'float'"),
    'train_cfg.max_iters': ('many', '`train_cfg`: '),
    'val_evaluator.iou_metrics': (['mIuo'], '`iou_metrics`.*mIuo.*mIoU'),
    'custom_hooks': ([dict(type='EMAHook',
                           momentum=7.)], '`custom_hooks`.*momentum'),
    'custom_hooks.': ('EMAHook', '`custom_hooks` is a list of dicts'),
    'train_dataloader.sampler.type': ('InfinitSampler', 'InfinitSampler'),
    'train_dataloader.dataset.pipeline.2.prob':
    (7., 'CityscapesDataset, .*prob'),
    'model.distilers': ({}, "`model`: TypeError: .*'distilers'"),
    'launcher': ('ssh', "no launcher 'ssh'"),
    'default_hooks.checkpoint.intervall':
    (5, "no argument 'intervall'. Did you mean interval"),
}


@pytest.mark.parametrize('key', CASES)
def test_the_part_is_named(key, cityscapes, tmp_path):
    value, message = CASES[key]
    cfg = segmentation_config(cityscapes, str(tmp_path), max_iters=1)
    cfg = distillation_config(cfg, dict(kd=dict(type='LogitsKD')))
    cfg.merge_from_dict({key.rstrip('.'): value})
    with pytest.raises(ConfigError, match=message) as error:
        apis.train(Config(cfg.to_dict()))
    assert '\n' not in str(error.value)


def labels_of(root, split):
    folder = f'{root}/gtFine/{split}/tinytown'
    return sorted(f'{folder}/{name}' for name in os.listdir(folder)
                  if name.endswith('TrainIds.png'))


def test_data_is_checked_before_training(tmp_path):
    """Training and validation data, in one message; a switch turns it off."""
    root = write_cityscapes(str(tmp_path / 'data'), 3, 1)
    missing = [labels_of(root, 'train')[1], labels_of(root, 'val')[0]]
    for path in missing:
        os.remove(path)

    def train(**options):
        cfg = segmentation_config(
            root, str(tmp_path / 'run'), max_iters=1, **options)
        apis.train(Config(cfg.to_dict()))

    with pytest.raises(DataError) as error:
        train()
    assert [x.split(': ')[0] for x in error.value.lines] == missing
    assert '`checks=False`' in error.value.lines[-1]
    assert not os.path.exists(tmp_path / 'run/iter_1.pth')
    with pytest.raises(DataError, match='no such file') as error:
        train(checks=False)  # it is found when it is read
    assert 'checks=False' not in str(error.value)


def test_labels_fit_the_head(tmp_path):
    """Of a data set that says nothing of its classes, too."""
    root = write_cityscapes(str(tmp_path / 'data'), 2, 1)
    for path in labels_of(root, 'train'):
        labels = cv2.imread(path, -1)
        labels[0, 0] = 30
        cv2.imwrite(path, np.ascontiguousarray(labels))
    cfg = segmentation_config(root, str(tmp_path / 'run'), max_iters=1)
    dataset = cfg.train_dataloader.dataset
    dataset.update(
        type='BaseSegDataset',
        img_suffix='_leftImg8bit.png',
        seg_map_suffix='_gtFine_labelTrainIds.png')
    with pytest.raises(DataError) as error:
        apis.train(Config(cfg.to_dict()))
    assert 'has the label 30, but there are 19 classes' in str(error.value)
    assert str(error.value).startswith(f'{root}/gtFine/train')
