import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop

from mmkd.engine.resume.hook import ResumeHook
from mmkd.engine.resume.state import STATE_KEY
from mmkd.utils.rng import random_state


class Epochs(EpochBasedTrainLoop):
    """A loop that is at a place."""

    def __init__(self, epoch, iteration):
        self._epoch, self._iter = epoch, iteration
        self._max_epochs, self.dataloader = 5, range(10)


def test_validation_draws_for_itself():
    hook = ResumeHook()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    before = random_state()
    hook.before_val(None)
    assert hook.validating
    torch.rand(5)
    # A checkpoint of the validation holds the state of training.
    assert hook.random_state()['torch'].equal(before['torch'])
    hook.after_val(None)
    assert not hook.validating and torch.rand(1).equal(expected)


def test_states_go_into_the_checkpoint():
    hook, checkpoint = ResumeHook(), {}
    runner = SimpleNamespace(model=torch.nn.Identity())
    hook.before_save_checkpoint(runner, checkpoint)
    assert checkpoint == {}
    hook.states = dict(validated=True)
    hook.before_save_checkpoint(runner, checkpoint)
    assert checkpoint == {STATE_KEY: dict(validated=True)}


def validated(loop, iteration, is_open=True):
    """Whether a run that resumes there validates first."""
    ran = []
    loop.val_begin, loop.val_interval = 2, 2
    loop._decide_current_val_interval = lambda: None
    runner = SimpleNamespace(
        train_loop=loop,
        iter=iteration,
        validation_is_open=is_open,
        val_loop=SimpleNamespace(run=lambda: ran.append(1)),
        logger=logging.getLogger())
    ResumeHook().before_train(runner)
    return bool(ran)


@pytest.mark.parametrize('iteration, due', [(0, False), (1, False), (4, True),
                                            (5, False), (7, True)])
def test_a_validation_that_was_due(iteration, due):
    loop = SimpleNamespace(iter=iteration, max_iters=7)
    assert validated(loop, iteration) == due
    assert not validated(loop, iteration, is_open=False)


@pytest.mark.parametrize('epoch, iteration, due',
                         [(2, 20, True), (2, 25, False), (3, 30, False),
                          (5, 50, True)])
def test_due_after_an_epoch(epoch, iteration, due):
    assert validated(Epochs(epoch, iteration), iteration) == due
