import pytest
import torch
from mmengine.model import BaseModel

from mmkd.core.terms import figure_name, log_entries, term_name
from mmkd.errors import ConfigError


@pytest.mark.parametrize('term, name', [
    ('body', 'kd.loss_body'),
    ('loss', 'kd.loss'),
    ('loss_body', 'kd.loss_body'),
    ('global_', 'kd.loss_global'),
    ('glossy', 'kd.loss_glossy'),
])
def test_term_name(term, name):
    assert term_name('kd', term) == name


def test_figure_name():
    assert figure_name('kd', 'mask_mean') == 'kd.mask_mean'
    assert figure_name('my_loss', 'glossiness') == 'my_cost.gcostiness'


def test_mmengine_sums_the_terms_alone():
    values = dict(body=2., loss=3., share=4., loss_ratio=5.)
    entries = log_entries('my_loss', {
        k: torch.tensor(v)
        for k, v in values.items()
    }, ('body', 'loss'))
    total, log = BaseModel.parse_losses(None, entries)
    assert total == 5
    assert {
        k: float(v)
        for k, v in log.items()
    } == {
        'loss': 5.,
        'my_loss.loss_body': 2.,
        'my_loss.loss': 3.,
        'my_cost.share': 4.,
        'my_cost.cost_ratio': 5.
    }


def test_names_must_differ_in_the_log():
    values = dict(body=torch.ones(()), loss_body=torch.ones(()))
    with pytest.raises(ConfigError, match="'loss_body'.*'kd.loss_body'"):
        log_entries('kd', values, values)
