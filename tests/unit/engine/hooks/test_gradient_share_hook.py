from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.optim import OptimWrapper
from torch.utils.data import DataLoader

from mmkd.core.model import DistillationModel
from mmkd.engine.configs import prepare_training
from mmkd.engine.hooks import GradientShareHook
from mmkd.errors import ConfigError
from mmkd.testing import segmentation_batch, segmentor

DISTILLERS = dict(
    dsi=dict(
        type='FeatureKD',
        preset='dsi',
        loss_weight=dict(type='gam', module='backbone', last_epochs=1)))


def build(iteration=0):
    torch.manual_seed(0)
    model = DistillationModel(
        segmentor(4),
        dict(teacher=dict(cfg=segmentor(8), ckpt='random')),
        DISTILLERS,
        dry_run_size=(64, 64)).train()
    return SimpleNamespace(
        model=model,
        optim_wrapper=OptimWrapper(
            torch.optim.SGD(model.parameters(), lr=0.1)),
        train_dataloader=[None] * 2,
        max_iters=6,
        iter=iteration)


def train(runner, iterations):
    """Weights of the iterations, and the share of the gradients in each."""
    hook = GradientShareHook()
    hook.before_train(runner)
    shares = []

    def watch(*_):
        norms = {
            name: p.grad.abs().sum().item()
            for name, p in runner.model.named_parameters()
            if p.grad is not None
        }
        own = sum(v for k, v in norms.items()
                  if k.startswith('student.backbone'))
        shares.append((own, sum(norms.values())))

    runner.optim_wrapper.optimizer.register_step_pre_hook(watch)
    weights = []
    for runner.iter in iterations:
        log = runner.model.train_step(
            segmentation_batch(2, size=(64, 64), seed=runner.iter),
            runner.optim_wrapper)
        weights.append(log['dsi.weight'])
        hook.after_train_iter(runner)
    hook.after_train(runner)
    return weights, shares


def test_weights_follow_the_gradients_and_resume():
    runner = build()
    weights, shares = train(runner, range(3))
    p = sum(own for own, _ in shares[:2]) / sum(x for _, x in shares[:2])
    aim = .12 if p < .11 else .10
    factor = aim * (1 - p) / (p * (1 - aim))
    assert not .10 <= p <= .12
    assert weights == pytest.approx([5, 5, 5 * min(max(factor, .1), 10)])
    again = build()
    again.model.load_state_dict(runner.model.state_dict())
    expected = train(runner, range(3, 6))[0]
    assert train(again, range(3, 6))[0] == expected
    assert expected[0] == weights[-1] and expected[1:] == [20, 20]


def test_a_run_without_the_hook():
    runner = build()
    batch = segmentation_batch(2, size=(64, 64))
    runner.model.train_step(batch, runner.optim_wrapper)
    with pytest.raises(ConfigError, match='mmkd.GradientShareHook'):
        runner.model.train_step(batch, runner.optim_wrapper)


def test_a_pass_over_the_data_in_several_processes(monkeypatch):
    """The loader of a run by iteration tells the length of all data."""
    path = 'mmkd.engine.hooks.gradient_share_hook.get_world_size'
    monkeypatch.setattr(path, lambda: 2)
    runner = build()
    runner.train_dataloader = DataLoader(
        [None] * 4, sampler=InfiniteSampler([None] * 4))
    assert len(runner.train_dataloader) == 4
    weights, _ = train(runner, range(3))
    assert weights[0] == weights[1] != weights[2]


def test_a_config_that_needs_it_gets_it():
    cfg = Config(
        dict(
            model=dict(
                type='mmkd.DistillationModel',
                teachers={},
                distillers=DISTILLERS)))
    kinds = [hook.type for hook in prepare_training(cfg).custom_hooks]
    assert 'mmkd.GradientShareHook' in kinds
