"""Configs, completed for training and reduced to the student."""
import pytest
import torch
from mmengine.config import Config

from mmkd.engine.configs import (prepare_devices, prepare_training,
                                 student_only, use_amp, use_fast_student)
from mmkd.errors import ConfigError

BPKD = ('configs/demo/bpkd_deeplabv3plus-r18w32_deeplabv3plus-r18w8_scenes'
        '.py')


def test_preparing():
    cfg = Config(
        dict(
            model=dict(type='mmkd.DistillationModel'),
            optim_wrapper=dict(type='OptimWrapper', constructor='LayerDecay'),
            custom_hooks=[dict(type='mmkd.SelfCheckHook', num_batches=1)],
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', max_keep_ckpts=1))))
    first = prepare_training(cfg)
    assert [hook.type for hook in first.custom_hooks] == [
        'mmkd.SelfCheckHook', 'mmkd.StatisticsHook', 'mmkd.FiniteLossHook',
        'mmkd.SharesHook'
    ]
    assert first.optim_wrapper.student_constructor == 'LayerDecay'
    assert first.default_hooks.checkpoint.max_keep_ckpts == 2
    again = prepare_training(Config(first.to_dict()))
    assert again.to_dict() == first.to_dict()
    # What a plain config that it is based on has.
    inherited = prepare_training(
        Config(dict(first.to_dict(), channels_last=True)))
    assert inherited.model.channels_last and 'channels_last' not in inherited
    bare = prepare_training(Config(dict(model=dict(type='A'))))
    assert set(bare) == {'model', 'runner_type'}


@pytest.mark.parametrize('wrapper', [None, dict(type='MyWrapper')])
def test_amp_needs_a_usual_wrapper(wrapper):
    with pytest.raises(ConfigError, match='mixed precision'):
        use_amp(Config(dict(optim_wrapper=wrapper)))


@pytest.mark.parametrize('gpu', [True, False])
def test_amp_of_a_config_of_an_earlier_run(gpu, monkeypatch):
    """Which may have run on a CPU, with --amp or without."""
    monkeypatch.setattr('torch.cuda.is_available', lambda: gpu)
    kind = 'AmpOptimWrapper' if gpu else 'mmkd.CPUAmpOptimWrapper'
    for prepare in (use_amp, prepare_devices):
        cfg = Config(dict(optim_wrapper=dict(type='mmkd.CPUAmpOptimWrapper')))
        prepare(cfg)
        assert cfg.optim_wrapper.type == kind


def test_a_hook_of_another_name_does_not_count():
    cfg = prepare_training(
        Config(
            dict(
                custom_hooks=[dict(type='EmptyCacheHook')],
                model=dict(
                    type='mmkd.DistillationModel',
                    teachers=dict(teacher=dict(cache=dict(dir='c')))))))
    assert 'mmkd.CacheHook' in [hook.type for hook in cfg.custom_hooks]


def test_fast_training(monkeypatch):
    model = dict(type='mmkd.DistillationModel')
    cfg = Config(dict(model=model, optim_wrapper=dict(type='OptimWrapper')))
    use_fast_student(cfg)
    assert 'Amp' in cfg.optim_wrapper.type and cfg.model.channels_last
    assert not cfg.model.compile_backbone or torch.cuda.is_available()
    monkeypatch.setattr('mmkd.core.compiling.compiles_by_default',
                        lambda: True)
    for given, expected in ((dict(), True), (dict(compile=True), False)):
        cfg = Config(
            dict(given, model=model, optim_wrapper=dict(type='OptimWrapper')))
        use_fast_student(cfg)
        assert cfg.model.compile_backbone is expected
    plain = Config(
        dict(model=dict(type='A'), optim_wrapper=dict(type='OptimWrapper')))
    use_fast_student(plain)
    assert 'Amp' in plain.optim_wrapper.type
    assert plain.channels_last and plain.compile_backbone
    assert set(plain.model) == {'type'}
    assert set(student_only(plain)) == {'model', 'optim_wrapper'}
    cfg = Config(
        dict(
            model=dict(model, compile_backbone=False),
            optim_wrapper=dict(type='OptimWrapper')))
    use_fast_student(cfg)
    assert cfg.model.compile_backbone is False


@pytest.mark.parametrize('runner', ['Runner', 'mmengine.FlexibleRunner'])
def test_runner_that_ignores_fast(runner):
    plain = dict(model=dict(type='A'), runner_type=runner)
    prepare_training(Config(plain))
    with pytest.raises(ConfigError, match='ignores `channels_last`'):
        prepare_training(Config(dict(plain, channels_last=True)))


def test_metrics_of_mmkd_leave_the_exported_config():
    plain = student_only(BPKD)
    assert [m['type'] for m in plain.test_evaluator] == ['IoUMetric']
    assert 'mmkd' not in plain.dump()
    kept = student_only(BPKD, keep_metrics=True)
    assert [m['type'] for m in kept.test_evaluator
            ] == ['IoUMetric', 'mmkd.BoundaryIoUMetric']


@pytest.mark.parametrize('given, kept', [
    (dict(type='mmkd.KittiMetric', ann_file='a.pkl', metric='bbox'),
     dict(type='KittiMetric', ann_file='a.pkl', metric='bbox')),
    ([dict(type='mmkd.KittiByPoints', ann_file='a.pkl', edges=(1, 9))
      ], [dict(type='KittiMetric', ann_file='a.pkl')]),
    (dict(type='mmkd.BoundaryIoUMetric',
          ratio=0.1), dict(type='mmseg.IoUMetric')),
    (dict(type='CocoMetric',
          ann_file='a.json'), dict(type='CocoMetric', ann_file='a.json')),
])
def test_metrics_of_the_library_take_the_place_of_those_of_mmkd(given, kept):
    cfg = Config(
        dict(
            default_scope='mmdet3d', model=dict(type='A'),
            val_evaluator=given))
    plain = student_only(cfg)
    assert plain.val_evaluator == kept
    assert 'custom_imports' not in plain
