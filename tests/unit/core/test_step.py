import copy

import pytest
import torch
from mmengine.logging import MessageHub

from mmkd.core.model import DistillationModel
from mmkd.core.schedule import Progress
from mmkd.core.taps import TapCatcher
from mmkd.testing import segmentation_batch, segmentor

STAGES = dict(type='CWD', student='backbone[2]', teacher='backbone[2]')


def build(**distillers):
    return DistillationModel(
        student=segmentor(4),
        teachers=dict(
            first=dict(cfg=segmentor(4), ckpt='random'),
            second=dict(cfg=segmentor(4), ckpt='random')),
        distillers=distillers,
        dry_run_size=(64, 64))


@pytest.fixture
def model():
    return build(
        early=dict(
            STAGES,
            teacher='first:backbone[2]',
            loss_weight=dict(value=2.0, decay='step', end=5)),
        late=dict(
            STAGES,
            teacher='second:backbone[2]',
            loss_weight=dict(value=3.0, begin=5)))


def test_a_step_names_who_takes_part(model):
    before = model.planner.at(Progress(4, 10))
    assert before.weights == dict(early=dict(loss=2.0))
    assert before.teachers == ('first', )
    after = model.planner.at(Progress(5, 10))
    assert after.weights == dict(late=dict(loss=3.0))
    assert after.teachers == ('second', )


def test_peak_and_watching_know_everybody(model):
    peak = model.planner.peak()
    assert peak.weights == dict(early=dict(loss=2.0), late=dict(loss=3.0))
    watching = model.planner.watching()
    assert list(watching.weights) == ['early', 'late']
    assert not watching.weights['early']
    assert peak.teachers == watching.teachers == ('first', 'second')


def test_the_step_is_made_once_and_handed_down(model, monkeypatch):
    hub = MessageHub.get_current_instance()
    hub.update_info('iter', 7)
    hub.update_info('max_iters', 10)
    made = []
    now = type(model.planner).now
    monkeypatch.setattr(
        type(model.planner), 'now',
        lambda planner: made.append(now(planner)) or made[-1])
    batch = model.data_preprocessor(segmentation_batch(), True)
    losses = model(**batch, mode='loss')
    assert len(made) == 1 and batch['step'] is made[0]
    assert made[0].progress == Progress(7, 10)
    assert losses['early.loss'] == 0 < losses['late.loss']


def test_a_copy_plans_for_its_own_distillers(model):
    twin = copy.deepcopy(model)
    twin.distillers['late'].loss_weight = twin.distillers['early'].loss_weight
    assert set(twin.planner.at(Progress(9, 10)).weights) == set()
    assert set(model.planner.at(Progress(9, 10)).weights) == {'late'}


def test_training_pictures_and_measuring_read_the_same(model):
    model.eval()
    step = model.planner.peak()
    batch = model.prepare_batch(segmentation_batch(), step.teachers)
    losses, tensors, _ = model.run_networks(step, batch)
    seen, step_batch = model.observe(batch)
    assert losses and set(tensors) == set(seen) == {'early', 'late'}
    assert set(step_batch.teacher_inputs) == {'first', 'second'}
    for name, sides in tensors.items():
        for side, other in zip(sides, seen[name]):
            torch.testing.assert_close(side, other)


def test_only_the_taps_of_active_distillers_are_open(model, monkeypatch):
    opened = []
    enter = TapCatcher.__enter__
    monkeypatch.setattr(
        TapCatcher, '__enter__',
        lambda catcher: opened.append(catcher.taps) or enter(catcher))
    step = model.planner.at(Progress(0, 10))
    batch = model.prepare_batch(segmentation_batch(), step.teachers)
    model.run_networks(step, batch)
    student, teacher = opened
    assert [tap.network for tap in teacher] == ['first']
    assert len(student) == 1


def test_when_shares_are_measured(model):
    hub = MessageHub.get_current_instance()
    before = hub.get_info('iter', 0)

    def measured():
        found = []
        for iteration in range(9):
            hub.update_info('iter', iteration)
            if model.planner.now().measures_shares:
                found.append(iteration)
        return found

    try:
        assert measured() == []
        model.planner.measure_shares(4)
        assert measured() == [0, 3, 7]
        assert not model.planner.peak().measures_shares
    finally:
        hub.update_info('iter', before)
