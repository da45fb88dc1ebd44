import copy
import math

import pytest
import torch

from mmkd.engine.advice import Adviser, as_rows
from mmkd.engine.pair import Fit, Pair
from mmkd.errors import ConfigError
from mmkd.testing import segmentation_config, segmentor


@pytest.fixture(scope='module')
def setting(cityscapes, tmp_path_factory):
    cfg = segmentation_config(cityscapes, str(tmp_path_factory.mktemp('a')))
    pair = Pair(cfg, dict(teacher=dict(cfg=segmentor(8), ckpt='random')))
    before = copy.deepcopy(pair.student.state_dict())
    return pair, Adviser(cfg, pair, num_batches=2, steps=1), before


def test_a_method_that_serves_the_pair(setting):
    pair, adviser, before = setting
    advice = adviser.advise(pair.fit('CWD'))
    assert advice.levels == 1 and advice.parameters == 0
    assert advice.time > 0 and advice.memory >= 1
    assert advice.gradient > 0
    assert adviser.teachers['teacher']['ok'] is False  # it is untrained
    # At this weight, the gradients are equal.
    balanced = adviser.advise(Fit('CWD', dict(loss_weight=advice.loss_weight)))
    assert balanced.gradient == pytest.approx(1, rel=0.3)
    state = pair.student.state_dict()
    assert all('num_batches' in key or state[key].equal(value)
               for key, value in before.items() if 'running' in key)


def test_connectors_are_counted(setting):
    pair, adviser, _ = setting
    advice = adviser.advise(Fit('CWD', dict(place='stages')))
    assert advice.levels == 4 and advice.parameters > 0
    heads, (row, ) = as_rows([advice])
    assert row[0] == 'cwd place=stages' and len(row) == len(heads)


def test_a_method_that_does_not(setting):
    pair, adviser, _ = setting
    advice = adviser.advise(pair.fit('PKD'))
    assert 'neck' in advice.reason and advice.levels is None
    assert as_rows([advice])[1] == []


def test_a_method_that_fails_on_the_data(setting, monkeypatch):
    pair, adviser, _ = setting
    monkeypatch.setattr(adviser, 'batches', [dict(inputs=[], data_samples=[])])
    assert 'it does not run' in adviser.advise(Fit('CWD', {})).reason


def test_cost_of_the_student(setting):
    _, adviser, _ = setting
    cost = adviser.student
    assert cost.seconds > 0 and math.isfinite(cost.megabytes)
    small = torch.nn.Linear(2, 2)
    small.data_preprocessor = lambda data, training: dict(x=torch.ones(4, 2))
    small.forward = lambda x, mode: dict(loss=(x @ small.weight).exp().sum())
    adviser._step(small, {})
    # The inputs and the exponentials.
    assert adviser._memory(small) == pytest.approx(2 * 4 * 2 * 4 / 1e6)


def test_no_data(setting):
    pair, _, _ = setting
    with pytest.raises(ConfigError, match='no `train_dataloader`'):
        Adviser(segmentor(4), pair)
