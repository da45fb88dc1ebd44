from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub

from mmkd import apis
from mmkd.engine.hooks import SharesHook
from mmkd.errors import ConfigError
from mmkd.testing import distillation_config, segmentation_config, segmentor

STAGES = [f'backbone[{i}]' for i in range(4)]


def fake_runner(tmp_path, name):
    return SimpleNamespace(
        message_hub=MessageHub(name), work_dir=str(tmp_path), iter=0)


def test_what_was_measured_survives_a_checkpoint(tmp_path):
    hook, runner = SharesHook(4), fake_runner(tmp_path, 'shares')
    for runner.iter in range(4):
        outputs = {'loss': torch.tensor(3.), 'kd.loss': torch.tensor(1.)}
        if runner.iter in (0, 3):
            outputs.update({
                'student.share': torch.tensor(.75),
                'kd.share': torch.tensor(.25)
            })
        hook.after_train_iter(runner, runner.iter, outputs=outputs)
    other = fake_runner(tmp_path, 'resumed')
    other.message_hub.load_state_dict(runner.message_hub.state_dict())
    assert other.message_hub.get_info('mmkd_shares') == [
        (1, dict(student=.75, kd=.25)), (4, dict(student=.75, kd=.25))
    ]
    hook.after_train(other)
    assert (tmp_path / 'shares.png').stat().st_size > 1000


def test_an_overflow_is_left_out(tmp_path):
    """A checkpoint with such a number could not be resumed from."""
    hook, runner = SharesHook(1), fake_runner(tmp_path, 'overflow')
    for share in (float('nan'), .5):
        hook.after_train_iter(
            runner, 0, outputs={'kd.share': torch.tensor(share)})
    assert runner.message_hub.get_info('mmkd_shares') == [(1, dict(kd=.5))]


def test_nothing_to_draw(tmp_path):
    SharesHook().after_train(fake_runner(tmp_path, 'empty'))
    assert not list(tmp_path.iterdir())


def checkpointed(cityscapes, tmp_path, **distiller):
    """A run whose student recomputes activations between its taps."""
    student = segmentor()['model']
    student['backbone']['with_cp'] = True
    return distillation_config(
        segmentation_config(cityscapes, str(tmp_path), student, max_iters=2),
        dict(
            kd=dict(
                type='CWD',
                place='stages',
                student=STAGES,
                teacher=STAGES,
                **distiller)))


def test_activation_checkpointing_costs_the_shares_only(
        cityscapes, tmp_path, monkeypatch):
    warnings = []
    monkeypatch.setattr('mmkd.engine.hooks.shares_hook.print_log',
                        lambda text, *_: warnings.append(text))
    cfg = checkpointed(cityscapes, tmp_path)
    cfg.custom_hooks = [dict(type='mmkd.SharesHook', interval=1)]
    runner = apis.train(cfg)
    assert runner.iter == 2
    assert not any('share' in key for key in runner.message_hub.log_scalars)
    warning, = warnings
    assert 'not measured' in warning and 'with_cp=False' in warning


def test_automatic_weights_need_the_activations(cityscapes, tmp_path):
    cfg = checkpointed(cityscapes, tmp_path, loss_weight='auto')
    with pytest.raises(
            ConfigError, match="CWD: loss_weight='auto'.*with_cp=False"):
        apis.train(cfg)


def test_wrong_interval():
    with pytest.raises(ConfigError, match='at least 1, but got 0'):
        SharesHook(0)
