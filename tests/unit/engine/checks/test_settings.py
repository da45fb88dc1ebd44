import glob
from pathlib import Path

import mmdet
import mmseg
import pytest
import torch
from mmengine.config import Config
from mmengine.optim.scheduler import LinearLR

from mmkd.engine.checks import settings
from mmkd.engine.checks.settings import (evaluator_problems, misspelt_keys,
                                         precision_problems)
from mmkd.utils.config import read_config


@pytest.mark.parametrize('wrong, known', [
    ('optim_wraper', 'optim_wrapper'),
    ('param_schedulers', 'param_scheduler'),
    ('train_dataloder', 'train_dataloader'),
    ('costum_hooks', 'custom_hooks'),
    ('load_form', 'load_from'),
    ('randomnes', 'randomness'),
    ('chanels_last', 'channels_last'),
])
def test_misspelt_key(wrong, known):
    assert misspelt_keys({wrong: dict(a=1)}) == [
        f'nothing reads `{wrong}` of the config; did you mean `{known}`?'
    ]


def test_variables_are_no_misspelt_keys():
    metric = dict(type='CocoMetric', ann_file='a.json')
    assert misspelt_keys(
        dict(
            val_evaluators=metric,
            val_evaluator=[metric],
            test_pipeline=[],
            num_classes=3,
            img_scale=(8, 8))) == []


@pytest.mark.parametrize('library', [mmdet, mmseg])
def test_configs_of_the_libraries_have_none(library):
    folder = Path(library.__file__).parent / '.mim/configs'
    files = sorted(glob.glob(f'{folder}/[a-z]*/*.py'))[::40]
    assert len(files) > 10
    assert [
        found for file in files for found in misspelt_keys(read_config(file))
    ] == []


def test_a_former_name():
    assert 'now `checks`' in misspelt_keys(dict(check_data=False))[0]


@pytest.fixture
def on_cpu(monkeypatch):
    monkeypatch.setattr(settings, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)


def test_precision(on_cpu, monkeypatch):
    cfg = Config(
        dict(
            model=dict(
                teachers=dict(t=dict(precision='bf16'), u=dict(cfg='a.py')))))
    assert precision_problems(cfg) == []
    monkeypatch.setattr(
        settings, '_lacking', lambda device, dtype: 'no'
        if dtype is torch.bfloat16 else '')
    assert precision_problems(cfg) == [
        "teacher 't': `precision` is 'bf16', which the device cpu lacks (no); "
        'take another, or leave it out'
    ]


def test_mixed_precision_needs_a_gpu(on_cpu):
    cfg = Config(dict(optim_wrapper=dict(type='AmpOptimWrapper')))
    assert 'train with --amp' in precision_problems(cfg)[0]
    cfg.optim_wrapper.type = 'mmkd.CPUAmpOptimWrapper'
    assert precision_problems(cfg) == []


def test_what_a_device_lacks(monkeypatch):
    assert settings._lacking('cpu', torch.bfloat16) == ''
    monkeypatch.setattr(torch.cuda, 'is_bf16_supported', lambda **_: False)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda: 'V100')
    assert settings._lacking('cuda', torch.bfloat16) == 'V100 would emulate it'

    def conv2d(*args):
        raise RuntimeError('"slow_conv2d" not implemented\nfor it')

    monkeypatch.setattr(torch.nn.functional, 'conv2d', conv2d)
    assert settings._lacking('cpu',
                             torch.float16) == '"slow_conv2d" not implemented'


def test_missing_annotations(tmp_path):
    (tmp_path / 'a.json').write_text('{}')
    cfg = Config(
        dict(val_evaluator=[
            dict(type='A', ann_file=str(tmp_path / 'a.json')),
            dict(type='B', ann_file='gone.json'),
            dict(type='C', ann_file='s3://far/away.json'),
            dict(type='D')
        ]))
    assert list(evaluator_problems(cfg, 'val_evaluator')) == [
        '`val_evaluator`: B: `ann_file` gone.json: there is no such file; '
        'correct the path, which begins in the folder of the command'
    ]
    assert list(evaluator_problems(cfg, 'test_evaluator')) == []


def test_a_warm_up_that_is_longer_than_the_training():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], 1.)
    warm_up = LinearLR(optimizer, 0.1, by_epoch=False, end=500)
    decay = LinearLR(optimizer, 1., end_factor=0., by_epoch=False, end=500)
    text, = settings.warm_up_warnings([warm_up, decay], 40)
    assert 'takes 500 iterations, but the training has 40' in text
    assert settings.warm_up_warnings(dict(a=[warm_up]), 500) == []
    assert settings.warm_up_warnings(None, 1) == []
