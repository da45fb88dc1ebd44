import copy
import math

import pytest
import torch
from mmengine.optim import OptimWrapper, PolyLR

from mmkd.engine.resume.fit import FitCheck
from mmkd.errors import CheckpointError


@pytest.fixture
def parts():
    """An optimiser after a step, and its schedule."""
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([parameter], lr=0.1)
    parameter.grad = torch.ones(2)
    optimizer.step()
    wrapper = OptimWrapper(optimizer)
    return wrapper, [PolyLR(wrapper, eta_min=0., end=9, by_epoch=False)]


def load(parts, change=None):
    wrapper, schedulers = parts
    states = copy.deepcopy(
        dict(
            group=wrapper.optimizer.state_dict()['param_groups'][0],
            state=wrapper.optimizer.state_dict()['state'][0],
            schedules=[s.state_dict() for s in schedulers]))
    if change:
        change(states)
    fit = FitCheck(wrapper, schedulers)
    wrapper.optimizer.load_state_dict(
        dict(state={0: states['state']}, param_groups=[states['group']]))
    fit.check(states['schedules'], 'a.pth')


def test_the_same(parts):
    load(parts)
    load(parts, lambda s: s['group'].update(lr=0.05))


@pytest.mark.parametrize('change, said', [
    (lambda s: s['group'].update(lr=-1.), 'lr. is -1.0'),
    (lambda s: s['group'].update(lr='x'), "lr. is 'x', not a number"),
    (lambda s: s['group'].update(betas=(0.9, )), 'betas. is a tuple'),
    (lambda s: s['group'].update(betas=(0.9, 10**18)), r'betas\[1\]'),
    (lambda s: s['group'].update(amsgrad=0.5), 'amsgrad. is 0.5, not False'),
    (lambda s: s['group'].pop('eps'), 'eps. is missing'),
    (lambda s: s['state'].update(exp_avg=torch.ones(3)), 'shape'),
    (lambda s: s['schedules'].clear(), 'of length 1'),
    (lambda s: s['schedules'][0].pop('last_step'), 'last_step. is missing'),
    (lambda s: s['schedules'][0].update(param_name='x'), "not 'lr'"),
    (lambda s: s['schedules'][0].update(_global_step=.5), 'whole number'),
    (lambda s: s['schedules'][0].update(eta_min=math.nan), 'eta_min. is nan'),
])
def test_others(parts, change, said):
    with pytest.raises(CheckpointError, match=f'a.pth does not fit.*{said}'):
        load(parts, change)
