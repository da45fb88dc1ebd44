import pytest
from mmengine.config import Config

from mmkd import apis
from mmkd.errors import ConfigError
from mmkd.testing import distillation_config, segmentation_config

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
