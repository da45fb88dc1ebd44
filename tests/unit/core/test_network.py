import pytest
import torch
from torch import nn

from mmkd.core.network import build_network, build_untrained, network_config
from mmkd.errors import ConfigError
from mmkd.registry import MODELS
from mmkd.testing import segmentor


def test_a_network_is_taken_as_it_is():
    network = nn.Linear(1, 1)
    assert build_network(network, 'the student') is network


def test_preprocessor_beside_the_model():
    model = dict(type='A')
    cfg = dict(model=model, data_preprocessor=dict(type='B'))
    found, scope = network_config(cfg, 'the student')
    assert found == dict(type='A', data_preprocessor=dict(type='B'))
    assert scope is None and model == dict(type='A')


def test_student_of_a_distillation_config():
    cfg = dict(
        model=dict(
            type='mmkd.DistillationModel',
            student=dict(default_scope='mmseg', model=dict(type='A'))),
        default_scope='mmdet')
    assert network_config(cfg, 'a teacher') == (dict(type='A'), 'mmseg')


def test_a_config_that_is_its_own_student(tmp_path):
    path = tmp_path / 'cfg.py'
    path.write_text("model = dict(type='mmkd.DistillationModel', "
                    f'student={str(path)!r})')
    with pytest.raises(ConfigError, match='has itself for a student'):
        network_config(str(path), 'the student')


@pytest.mark.parametrize('cfg, message', [
    (3, 'the student is a config file'),
    (dict(data=dict()), 'the student: there is no `model`'),
    (dict(model='A'), 'the student: there is no `model`'),
    ('missing.py', 'the student: .*missing.py'),
    (dict(default_scope='mmseg', model=dict(type='NoSuchNet')),
     'the student: cannot build NoSuchNet'),
    ({
        **segmentor(), 'model': dict(segmentor()['model'], colour='red')
    }, 'the student: cannot build EncoderDecoder.*colour'),
])
def test_errors(cfg, message):
    with pytest.raises(ConfigError, match=message):
        build_network(cfg, 'the student')


@MODELS.register_module()
class Unset(nn.Module):
    """Leaves its weight to `init_weights`, as SSD's neck does."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.Tensor(512))
        self.conv = nn.Conv2d(3, 4, 1)


def test_untrained_networks_hold_no_memory_of_others():
    torch.manual_seed(0)
    network = build_untrained(dict(model=dict(type='mmkd.Unset')), 'x')
    assert 0 < network.weight.abs().max() < 0.2
    assert not torch.are_deterministic_algorithms_enabled()
    torch.manual_seed(0)
    assert network.conv.weight.equal(Unset().conv.weight)
    assert build_untrained(network, 'x') is network


def compiled_inside():
    network = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    network[0].compile(backend='eager')
    return network


@pytest.mark.parametrize('make, what', [
    (lambda: torch.compile(nn.Linear(1, 1), backend='eager'),
     'a teacher: it is compiled'),
    (compiled_inside, "a teacher: its module '0' is compiled"),
    (lambda: torch.export.export(nn.Linear(1, 1),
                                 (torch.ones(1, 1), )).module(),
     'a teacher: it is an exported or traced graph'),
])
def test_networks_without_hooks(make, what):
    with pytest.raises(ConfigError, match=what):
        build_network(make(), 'a teacher')
