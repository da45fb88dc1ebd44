import logging

import pytest
from mmengine.config import Config

from mmkd import apis
from mmkd.engine.checks import fast
from mmkd.errors import ConfigError
from mmkd.testing import distillation_config, segmentation_config


def train(cityscapes, folder, **options):
    cfg = segmentation_config(cityscapes, str(folder), max_iters=2, **options)
    return apis.train(Config(cfg.to_dict()))


def test_a_run_does_not_change(cityscapes, tmp_path):
    """Weights, bit for bit, and what the hub has logged."""
    found = [
        train(cityscapes, tmp_path / str(checks), checks=checks)
        for checks in (True, False)
    ]
    first, second = (runner.model.state_dict() for runner in found)
    assert all(first[key].equal(second[key]) for key in first)
    logged = [
        runner.message_hub.get_scalar('train/loss')._log_history
        for runner in found
    ]
    assert (logged[0] == logged[1]).all()


def test_when_batches_are_checked(cityscapes, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr('mmkd.engine.building.check_batches', calls.append)
    train(cityscapes, tmp_path, default_hooks__checkpoint__interval=1)
    assert len(calls) == 1
    train(
        cityscapes,
        tmp_path,
        resume=True,
        load_from=str(tmp_path / 'iter_1.pth'))
    assert len(calls) == 1
    train(cityscapes, tmp_path / 'other', checks=False)
    assert len(calls) == 1


def test_metrics_of_the_test(cityscapes, tmp_path, caplog, monkeypatch):
    """A run can do without them, so they are a warning."""
    found = []
    monkeypatch.setattr(fast, 'print_log', lambda text, _, level: found.append(
        (text, level)))
    cfg = segmentation_config(cityscapes, str(tmp_path))
    cfg.test_evaluator = dict(type='mmdet.CocoMetric', ann_file='gone.json')
    fast.check_settings(cfg)
    (text, level), = found
    assert level == logging.WARNING and 'gone.json' in text
    cfg.val_evaluator = cfg.test_evaluator
    with pytest.raises(ConfigError, match='gone.json.*`checks=False`'):
        fast.check_settings(cfg)
    cfg.checks = False
    fast.check_settings(cfg)
    assert len(found) == 1


def test_warning_of_classes(cityscapes, tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(fast, 'print_log',
                        lambda text, *args: found.append(text))
    monkeypatch.setattr(fast, 'class_faults', lambda *args: [('odd', False)])
    cfg = segmentation_config(cityscapes, str(tmp_path), max_iters=1)
    runner = apis.build_runner(
        apis.prepare_training(
            distillation_config(cfg, dict(kd=dict(type='LogitsKD')))))
    fast.check_parts(runner)
    assert found == ['check: odd']
    assert fast.datasets_of(runner) == {}
