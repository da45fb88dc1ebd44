"""What a checkpoint to resume from must hold; every value of a real one is
spoilt in tests/integration/test_spoilt_checkpoints.py."""
import copy
import math

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmkd.engine.resume.check import check_resumable
from mmkd.errors import CheckpointError
from mmkd.utils.rng import random_state


@pytest.fixture
def content():
    """A checkpoint after 3 iterations."""
    made_by = dict(samples=4, batch_size=2, workers=0, persistent=False)
    loader = dict(passes=1, batches=1, changing=[], states={}, made_by=made_by)
    process = dict(
        random=random_state(), loader=loader, gradients=None, buffers=None)
    group = dict(params=[0], lr=0.1)
    return dict(
        meta=dict(iter=3, epoch=1, seed=0),
        state_dict=dict(w=torch.ones(2)),
        message_hub=dict(
            log_scalars=dict(loss=HistoryBuffer([1., math.nan], [1, 1])),
            runtime_info=dict(best_score=3., keep_ckpt_ids=[1, 2]),
            resumed_keys=dict(loss=True)),
        optimizer=dict(
            state={0: dict(step=3, exp_avg=torch.ones(2))},
            param_groups=[group]),
        param_schedulers=[dict(last_step=3)],
        resume=dict(processes=[process], validated=True))


def check(content, last=4, by_epoch=False):
    check_resumable(content, 'a.pth', last, by_epoch)


def test_a_good_one(content):
    check(content)
    check(content, None)
    check(content, 1, by_epoch=True)
    # A data set, and one of mmdet's that joins several.
    for meta in (dict(classes=('a', )), [dict(task=1), dict(task=2)]):
        content['meta']['dataset_meta'] = meta
        check(content)
    content['optimizer'] = dict(a=content['optimizer'], b=content['optimizer'])
    content['param_schedulers'] = dict(a=[{}], b=[{}])
    for key in ('optimizer', 'param_schedulers', 'resume'):
        del content[key]
    check(content)


@pytest.mark.parametrize('place, value, said', [
    ('meta', None, 'meta. is None, not a dict'),
    ('meta', 'text', "meta. is 'text'"),
    ('meta.iter', 10**18, 'meta.iter. is 10{18}, not .* from 0 to 4'),
    ('meta.iter', math.nan, 'meta.iter. is nan'),
    ('meta.iter', 5, 'from 0 to 4'),
    ('meta.iter', True, 'meta.iter'),
    ('meta.epoch', 4, 'meta.epoch. is 4, not a whole number from 0 to 3'),
    ('meta.seed', 2**32, 'meta.seed'),
    ('resume.processes.0.loader.batches', 10**9, 'batches. is 10{9}'),
    ('resume.processes.0.loader', [], 'loader. is a list, not a dict'),
    ('resume.processes', [], 'processes'),
    ('resume.processes.0.random.numpy',
     ('MT19937', np.zeros(624, np.uint32), 10**9, 0, 0.), 'numpy'),
    ('resume.processes.0.random.torch', torch.zeros(3), 'generator of torch'),
    ('message_hub.runtime_info.keep_ckpt_ids', ['x/../../mine'], r'ids\[0\]'),
    ('message_hub.runtime_info.best_ckpt', 3, 'best_ckpt. is 3, not a text'),
    ('message_hub.runtime_info.best_score_x', math.nan, 'best_score_x'),
    ('message_hub.log_scalars.loss', 3., 'loss. is 3.0, not a history'),
    ('optimizer.state.0.exp_avg', torch.tensor([math.inf]), 'finite numbers'),
    ('optimizer.state.0.step', 4, 'step. is 4, not a whole number from 0 to'),
    ('optimizer.param_groups.0.lr', math.inf, 'lr. is inf, not finite'),
    ('param_schedulers.0', 'text', r'schedulers\[0\]. is .text., not a dict'),
    ('state_dict.w', torch.tensor(math.nan), 'state_dict.w'),
    ('ema_state_dict', {
        'module.v': torch.ones(1)
    }, 'state_dict.v. is missing'),
    ('meta.iter', 'x' * 999, "'x{39}[.]{3}, not"),
    ('meta.iter', '\x1b[31m', r'\\x1b\[31m'),
])
def test_bad_ones(content, place, value, said):
    *path, key = place.split('.')
    parent = content
    for part in path:
        parent = parent[int(part) if part == '0' else part]
    parent[int(key) if key == '0' else key] = value
    with pytest.raises(CheckpointError, match=f'^a.pth .*{said}') as info:
        check(content)
    assert len(str(info.value).splitlines()) == 1


@pytest.mark.parametrize('place', [
    'meta', 'meta.iter', 'meta.epoch', 'state_dict', 'message_hub',
    'message_hub.runtime_info', 'resume.processes', 'resume.validated'
])
def test_missing(content, place):
    content = copy.deepcopy(content)
    *path, key = place.split('.')
    parent = content
    for part in path:
        parent = parent[part]
    del parent[key]
    with pytest.raises(
            CheckpointError, match=f'{place}. is missing|no `meta`'):
        check(content)


def test_no_checkpoint_of_a_run():
    for content in ([1], dict(w=torch.ones(1)), None):
        with pytest.raises(CheckpointError, match='no checkpoint of a run'):
            check(content)
