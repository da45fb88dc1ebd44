"""Which channels of a teacher a narrower student starts with."""
import copy

import pytest
import torch
from torch import nn

from mmkd.core.narrowing import Narrowing, inherit, read_flow
from mmkd.core.network import build_network
from mmkd.errors import ConfigError
from mmkd.families import base, family_of
from mmkd.testing import detector
from mmkd.testing.lidar import centerpoint, pointpillars, second


def network_of(cfg):
    torch.manual_seed(0)
    return build_network(cfg, 'x')


def kept(narrowing, path, dim=1):
    return narrowing.kept[f'{path}.weight'][dim].tolist()


def deblocks(widths):
    """A detector whose map is a concatenation of these widths."""
    cfg = pointpillars(4)
    cfg['model']['neck']['out_channels'] = list(widths)
    cfg['model']['bbox_head'].update(
        in_channels=sum(widths), feat_channels=sum(widths))
    return network_of(cfg)


def test_parts_of_a_concatenation():
    narrowing = Narrowing(deblocks((2, 3)), deblocks((4, 4)))
    for name in ('conv_cls', 'conv_reg', 'conv_dir_cls'):
        assert kept(narrowing, f'bbox_head.{name}') == [0, 1, 4, 5, 6]
    # The neck reads a block of the backbone each.
    assert narrowing.flow.sources['neck.deblocks.0.0'] == [
        'backbone.blocks.0.4'
    ]
    assert kept(narrowing, 'neck.deblocks.1.0', 0) == list(range(8))
    assert kept(narrowing, 'neck.deblocks.1.0', 1) == [0, 1, 2]


@pytest.mark.parametrize('order, inputs', [('channel', [0, 1, 2, 3, 4, 5]),
                                           ('slice', [0, 1, 2, 4, 5, 6])])
def test_heights_of_a_volume(order, inputs):
    student, teacher = (_Volume(width) for width in (3, 4))
    assert kept(Narrowing(student, teacher, bev_order=order), 'conv') == inputs


class _Volume(nn.Module):
    """(C, D) = (width, 2) flattened to the channels of a map."""
    shape = 1, 1, 2, 3, 3

    def __init__(self, width):
        super().__init__()
        self.volume = nn.Conv3d(1, width, 1)
        self.conv = nn.Conv2d(2 * width, 2, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        maps = self.volume(inputs)
        return self.conv(maps.flatten(1, 2))


@pytest.fixture(autouse=True)
def example(monkeypatch):
    """An input for plain networks."""
    plain = base.Family.example_batch

    def example_batch(self, network, size):
        shape = getattr(network, 'shape', None)
        if shape:
            return dict(inputs=torch.zeros(shape), data_samples=None)
        return plain(self, network, size)

    monkeypatch.setattr(base.Family, 'example_batch', example_batch)


@pytest.mark.parametrize('make', [centerpoint, pointpillars, second])
def test_every_tensor_is_a_part(make):
    student, teacher = network_of(make(4)), network_of(make(8))
    before = copy.deepcopy(student.state_dict())
    narrowing = Narrowing(student, teacher)
    counts = [
        inherit(student, teacher, path, narrowing)
        for path, child in student.named_children() if child.state_dict()
    ]
    assert sum(x.left for x in counts) == 0
    assert sum(x.narrowed for x in counts) > 20
    given = teacher.state_dict()
    for key, value in student.state_dict().items():
        assert set(value.flatten().tolist()) <= set(
            given[key].flatten().tolist()), key
    assert any(not value.equal(before[key])
               for key, value in student.state_dict().items())
    # A second time changes nothing.
    state = copy.deepcopy(student.state_dict())
    for path, child in student.named_children():
        inherit(student, teacher, path, Narrowing(student, teacher))
    assert all(v.equal(state[k]) for k, v in student.state_dict().items())


def test_the_features_are_those_of_the_teacher():
    """Of a teacher whose other channels are 0, the student does the same."""
    student, teacher = network_of(centerpoint(4)), network_of(centerpoint(8))
    narrowing = Narrowing(student, teacher)
    for path, child in student.named_children():
        inherit(student, teacher, path, narrowing)
    state = teacher.state_dict()
    for path, (index, width) in narrowing.outputs.items():
        for key in ('weight', 'bias'):
            name = f'{path}.{key}'
            if name in state and state[name].dim() == 1 and (len(index)
                                                             < width):
                rest = torch.ones(width, dtype=torch.bool)
                rest[index] = False
                state[name][rest] = 0
    batch = family_of(student).example_batch(student, (64, 64))
    outputs = []
    for network in (student.eval(), teacher.eval()):
        with torch.no_grad():
            maps = network.extract_feat(
                copy.deepcopy(batch['inputs']),
                [x.metainfo for x in batch['data_samples']])[1]
            outputs.append(network.pts_bbox_head(maps))
    for (task_s, ), (task_t, ) in zip(*outputs):
        for name, value in task_s.items():
            torch.testing.assert_close(value, task_t[name])


def test_equal_networks_are_copied():
    student, teacher = network_of(centerpoint(4)), network_of(centerpoint(4))
    for value in teacher.state_dict().values():
        value.copy_(
            torch.rand(value.shape) if value.is_floating_point() else value)
    narrowing = Narrowing(student, teacher)
    for path, child in student.named_children():
        counts = inherit(student, teacher, path, narrowing)
        assert counts.narrowed == counts.left == 0
    given = teacher.state_dict()
    assert all(v.equal(given[k]) for k, v in student.state_dict().items())


def test_largest_filters():
    """The next layer reads the outputs that are kept."""
    student, teacher = deblocks((2, 3)), deblocks((4, 4))
    with torch.no_grad():
        weight = teacher.neck.deblocks[0][0].weight  # inputs first
        weight.fill_(.1)
        weight[:, 2:] = 1
        weight = teacher.neck.deblocks[1][0].weight
        weight.fill_(1.)
        weight[:, 1] = 0
    narrowing = Narrowing(student, teacher, 'l1')
    assert kept(narrowing, 'neck.deblocks.0.0') == [2, 3]
    assert kept(narrowing, 'neck.deblocks.1.0') == [0, 2, 3]
    assert kept(narrowing, 'neck.deblocks.0.1', 0) == [2, 3]
    assert kept(narrowing, 'bbox_head.conv_cls') == [2, 3, 4, 6, 7]


def test_sums_and_the_largest_filters():
    student, teacher = network_of(detector(4)), network_of(detector(8))
    assert read_flow(student, 'the student').sums
    Narrowing(student, teacher)
    with pytest.raises(ConfigError, match="take select='first'"):
        Narrowing(student, teacher, 'l1')


class _Parts(nn.Module):
    """Layers whose leading channels mean something else."""
    shape = 1, 3, 4, 4

    def __init__(self, width, classes):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 1)
        self.depthwise = nn.Conv2d(width, width, 1, groups=width)
        self.grouped = nn.Conv2d(width, width, 1, groups=2)
        self.gate = nn.Conv2d(width, 2 * width, 1)
        self.attention = nn.MultiheadAttention(width, 1, batch_first=True)
        self.bbox_head = nn.Module()
        self.bbox_head.num_classes = classes
        self.bbox_head.conv_cls = nn.Conv2d(width, 2 * classes, 1)
        self.bbox_head.conv_reg = nn.Conv2d(width, 4, 1)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        maps = self.grouped(self.depthwise(self.stem(inputs)))
        maps = nn.functional.glu(self.gate(maps), 1)
        tokens = maps.flatten(2).transpose(1, 2)
        tokens = self.attention(tokens, tokens, tokens)[0]
        maps = tokens.transpose(1, 2).reshape(maps.shape)
        return self.bbox_head.conv_cls(maps), self.bbox_head.conv_reg(maps)


def test_what_is_not_narrowed():
    student, teacher = _Parts(4, 2), _Parts(8, 3)
    with torch.no_grad():
        teacher.stem.weight.fill_(.1)[[1, 2, 5, 7]] = 1
    before = copy.deepcopy(student.state_dict())
    narrowing = Narrowing(student, teacher, 'l1')
    assert narrowing.left == ['grouped', 'gate', 'bbox_head.conv_cls']
    # Outputs of a depthwise convolution belong to its inputs.
    assert kept(narrowing, 'depthwise', 0) == [1, 2, 5, 7]
    assert kept(narrowing, 'bbox_head.conv_reg', 0) == [0, 1, 2, 3]
    for path, _ in student.named_children():
        inherit(student, teacher, path, narrowing)
    for key, value in student.state_dict().items():
        same = key.startswith((*narrowing.left, 'attention'))
        assert value.equal(before[key]) == same or 'conv_reg.bias' in key, key
