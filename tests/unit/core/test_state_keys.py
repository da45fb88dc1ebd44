"""The keys of a checkpoint."""
import io

import pytest
import torch
from mmengine.runner.checkpoint import get_state_dict, load_state_dict
from torch import nn

from mmkd.core.network import build_network
from mmkd.errors import CheckpointError
from mmkd.testing import segmentor
from tests.fixtures.models import STAGES, build


def test_keys_are_those_of_the_student():
    model = build()
    state = model.state_dict()
    student = model.student.state_dict()
    own = {key for key in state if key.startswith('distill.')}
    assert set(state) - own == set(student)
    assert own == {
        'distill.cwd.connectors.0.conv.weight',
        'distill.cwd.connectors.0.conv.bias'
    }
    assert all(state[key].equal(student[key]) for key in student)


def test_mmengine_and_torch_agree():
    model = build()
    theirs, ours = get_state_dict(model), model.state_dict()
    assert list(theirs) == list(ours)
    assert theirs._metadata == ours._metadata
    student = model.student.state_dict()._metadata
    for key, value in student.items():
        if key:
            assert ours._metadata[key] == value
    assert 'distill.cwd.connectors.0.conv' in ours._metadata
    assert not any(
        key.startswith(('student.', 'distillers.')) for key in ours._metadata)


def test_library_loads_it_as_it_is():
    state = build().state_dict()
    plain = build_network(segmentor(), 'student')
    missing, unexpected = plain.load_state_dict(state, strict=False)
    assert not missing
    assert all(key.startswith('distill.') for key in unexpected)


@pytest.mark.parametrize('load', [
    lambda model, state: model.load_state_dict(state),
    lambda model, state: load_state_dict(model, state, strict=True)
])
def test_round_trip(load):
    file = io.BytesIO()
    first = build()
    torch.save(first.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    keys = list(state)
    torch.manual_seed(1)
    second = build()
    load(second, state)
    assert list(state) == keys  # the caller's own dict is as it was
    for key, value in first.state_dict().items():
        assert second.state_dict()[key].equal(value), key


def test_plain_checkpoint_loads():
    plain = build_network(segmentor(), 'student')
    model = build()
    missing, unexpected = model.load_state_dict(
        plain.state_dict(), strict=False)
    assert not unexpected
    assert all(key.startswith('distillers.') for key in missing)
    weight = model.student.state_dict()
    assert all(v.equal(weight[k]) for k, v in plain.state_dict().items())


def test_a_load_that_matches_nothing_is_an_error():
    for load in (lambda m, s: m.load_state_dict(s, strict=False),
                 load_state_dict):
        with pytest.raises(CheckpointError, match='matches no weight.*foo.x'):
            load(build(), {'foo.x': torch.zeros(1)})


def test_names_of_modules_load_too():
    """mmdet's SyncNormHook sends norms by the names of modules."""
    model = build()
    name = 'student.backbone.layer1.0.bn1.running_mean'
    model.load_state_dict({name: torch.full((4, ), 7.)}, strict=False)
    assert model.student.backbone.layer1[0].bn1.running_mean.eq(7).all()


def test_student_whose_parts_are_called_student():

    class MeanTeacher(nn.Module):

        def __init__(self):
            super().__init__()
            self.student = build_network(segmentor(), 'inner')
            self.data_preprocessor = self.student.data_preprocessor
            self.backbone = self.student.backbone

        def forward(self, *args, **kwargs):
            return self.student(*args, **kwargs)

    model = build(
        dict(
            cwd=dict(
                STAGES,
                student='student.backbone.layer3',
                teacher='backbone[2]')), MeanTeacher())
    state = {k: torch.full_like(v, 3) for k, v in model.state_dict().items()}
    assert 'student.decode_head.conv_seg.weight' in state
    model.load_state_dict(state)
    assert all(v.eq(3).all() for v in model.student.state_dict().values())


def test_versions_of_modules_are_kept():

    class Versioned(nn.Conv2d):
        _version = 5

        def _load_from_state_dict(self, state, prefix, metadata, *args):
            self.seen = metadata.get('version')
            super()._load_from_state_dict(state, prefix, metadata, *args)

    def student():
        network = build_network(segmentor(), 'student')
        network.decode_head.conv_seg = Versioned(8, 19, 1)
        return network

    for load in (lambda m, s: m.load_state_dict(s, strict=False),
                 load_state_dict):
        model = build(student=student())
        load(model, student().state_dict())
        assert model.student.decode_head.conv_seg.seen == 5
