import os

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook

from mmkd import apis, cli
from mmkd.engine.hooks import FiniteLossHook
from mmkd.engine.replay import replay_step
from mmkd.errors import CheckpointError, ConfigError, NonFiniteLossError
from mmkd.methods.cwd.distiller import CWD
from mmkd.registry import DISTILLERS
from mmkd.testing import distillation_config, segmentation_config

STAGE = dict(place='stages', student='backbone[2]', teacher='backbone[2]')


@pytest.fixture(autouse=True)
def breaking():
    """A method whose loss is not finite at some iterations."""

    @DISTILLERS.register_module(name='Breaking')
    class Breaking(CWD):

        def __init__(self, at, value, **kwargs):
            super().__init__(**kwargs)
            self.at, self.value = at, value

        def losses(self, student, teacher, batch):
            terms = super().losses(student, teacher, batch)
            if batch.progress.iter in self.at:
                terms['loss'] = terms['loss'] * self.value
            return terms

    yield
    DISTILLERS.module_dict.pop('Breaking')


def config(cityscapes, folder, at, value=float('nan'), hook=None, **options):
    cfg = segmentation_config(cityscapes, str(folder), **options)
    distillers = dict(
        cwd=dict(type='CWD', **STAGE),
        breaking=dict(
            type='Breaking', at=at, value=value, loss_weight=1., **STAGE))
    cfg = distillation_config(cfg, distillers)
    cfg.custom_hooks = [dict(type='mmkd.SelfCheckHook', num_batches=1)]
    if hook:
        cfg.custom_hooks.append(dict(type='mmkd.FiniteLossHook', **hook))
    return cfg


def build(cfg):
    return apis.build_runner(apis.prepare_training(Config(cfg.to_dict())))


def state(runner):
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


class States(Hook):
    """The state of the model after each iteration."""
    priority = 'LOWEST'

    def __init__(self):
        self.states = []

    def before_train(self, runner):
        self.states.append(state(runner))

    def after_train_iter(self, runner, batch_idx, **kwargs):
        self.states.append(state(runner))


def assert_same(first, second):
    assert all(value.equal(second[key]) for key, value in first.items())


def run(cfg):
    runner = build(cfg)
    states = States()
    runner.register_hook(states)
    error = None
    try:
        runner.train()
    except NonFiniteLossError as raised:
        error = str(raised)
    return runner, states.states, error


@pytest.mark.parametrize('value', ['nan', 'inf'])
def test_the_term_is_named_and_no_step_taken(cityscapes, tmp_path, value):
    runner, states, error = run(
        config(cityscapes, tmp_path, [2], float(value)))
    # The third iteration, as the log counts them.
    assert error.startswith(f'iteration 3: breaking.loss is {value} (Breaking)'
                            ' (batch: ')
    assert 'leftImg8bit' in error and 'cwd.loss' not in error
    assert "action='skip'" in error
    assert runner.iter == 2 and len(states) == 3
    assert_same(state(runner), states[-1])
    assert not states[-1]['backbone.conv1.weight'].equal(
        states[-2]['backbone.conv1.weight'])
    assert all(p.grad is None for p in runner.model.parameters())
    assert f'{tmp_path}/non_finite/iter_3_rank0.pth' in error


def test_seen_again(cityscapes, tmp_path, capsys):
    """What is saved gives the very losses, dropout included."""
    cfg = config(cityscapes, tmp_path, [1], 1e300)  # too large for float32
    cfg.model.student.decode_head.dropout_ratio = 0.5
    run(cfg)
    file = f'{tmp_path}/non_finite/iter_2_rank0.pth'
    saved = torch.load(file, weights_only=False)['terms']
    replay = replay_step(cfg, file)
    assert (replay.iter, replay.module) == (2, 'distillers.breaking')
    assert replay.saved == saved
    assert set(saved) >= {'student.decode.loss_ce', 'cwd.loss'}
    for name, value in saved.items():
        assert replay.terms[name] == value  # bit for bit
    assert replay.terms['breaking.loss'] == float('inf')
    cfg.dump(f'{tmp_path}/cfg.py')
    cli.call(['replay', f'{tmp_path}/cfg.py', file])
    text = capsys.readouterr().out
    assert 'iteration 2' in text and 'output: distillers.breaking' in text
    torch.save(dict(state_dict={}), file)
    with pytest.raises(CheckpointError, match='no saved iteration'):
        replay_step(cfg, file)


def test_skipping(cityscapes, tmp_path):
    """The run goes on as if the batch had not been."""
    cfg = config(
        cityscapes,
        tmp_path, [1, 2],
        hook=dict(action='skip', max_files=1),
        max_iters=5)
    runner, states, error = run(cfg)
    assert error is None and runner.iter == 5
    hook = next(h for h in runner.hooks if isinstance(h, FiniteLossHook))
    assert hook.skipped == [2, 3]
    assert_same(states[2], states[1])
    assert_same(states[3], states[1])
    key = 'backbone.bn1.running_mean'
    assert not states[4][key].equal(states[3][key])
    assert all(value.isfinite().all() for value in states[5].values())
    assert os.listdir(tmp_path / 'non_finite') == ['iter_2_rank0.pth']


def test_skipping_ends(cityscapes, tmp_path):
    cfg = config(
        cityscapes,
        tmp_path,
        range(1, 9),
        hook=dict(action='skip', max_skips=2),
        max_iters=9)
    runner, _, error = run(cfg)
    assert runner.iter == 3 and '3 iterations in a row' in error


def test_accumulated_gradients_are_dropped(cityscapes, tmp_path):
    cfg = config(
        cityscapes, tmp_path, [1], hook=dict(action='skip'), max_iters=6)
    cfg.optim_wrapper.accumulative_counts = 2
    cfg.optim_wrapper.clip_grad = dict(max_norm=1.)
    runner, states, error = run(cfg)
    assert error is None
    key = 'backbone.conv1.weight'
    assert states[2][key].equal(states[0][key])
    assert not states[4][key].equal(states[2][key])
    assert states[4][key].isfinite().all()


def test_weights_that_are_broken(cityscapes, tmp_path):
    """No skipping helps then."""
    runner = build(config(cityscapes, tmp_path, [], hook=dict(action='skip')))

    class Break(Hook):

        def before_train_iter(self, runner, batch_idx, **kwargs):
            if batch_idx == 1:
                with torch.no_grad():
                    runner.model.student.backbone.conv1.weight[0] = torch.nan

    runner.register_hook(Break())
    with pytest.raises(NonFiniteLossError) as error:
        runner.train()
    assert 'student.decode.loss_ce is nan' in str(error.value)
    assert 'backbone.conv1.weight among them' in str(error.value)
    # Its running statistics are those of the first iteration.
    assert runner.model.student.backbone.bn1.running_mean.isfinite().all()


def test_first_module(cityscapes, tmp_path):
    cfg = config(cityscapes, tmp_path, [])
    runner = build(cfg)

    class Break(Hook):
        priority = 'VERY_HIGH'

        def before_train_iter(self, runner, batch_idx, **kwargs):
            with torch.no_grad():
                runner.model.student.backbone.layer2[0].bn1.bias.fill_(
                    torch.inf)

    runner.register_hook(Break())
    with pytest.raises(NonFiniteLossError):
        runner.train()
    replay = replay_step(cfg, f'{tmp_path}/non_finite/iter_1_rank0.pth')
    assert replay.module == 'student.backbone.layer2.0.bn1'


def test_training_is_bit_for_bit_the_same_with_it(cityscapes, tmp_path):
    cfg = config(cityscapes, tmp_path / 'a', [])
    with_hook = run(cfg)[1]
    cfg.work_dir = str(tmp_path / 'b')
    runner = build(cfg)
    runner._hooks = [
        h for h in runner.hooks if not isinstance(h, FiniteLossHook)
    ]
    runner.train()
    assert_same(state(runner), with_hook[-1])


def test_a_full_disk(cityscapes, tmp_path, monkeypatch):

    def full(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', full)
    error = run(config(cityscapes, tmp_path, [1]))[2]
    assert 'breaking.loss is nan' in error
    assert 'could not be saved' in error and 'No space left' in error


@pytest.mark.parametrize('wrong', [
    dict(action='ignore'),
    dict(max_skips=-1),
    dict(max_files='many'),
])
def test_wrong_arguments(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        FiniteLossHook(**wrong)
