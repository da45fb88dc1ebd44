import pytest
import torch
from torch import nn

from mmkd.core.features import build_connectors, check_features, match_student
from mmkd.core.taps.tap import TapSpec
from mmkd.errors import ConfigError


def maps(*shapes, side='backbone'):
    return [TapSpec(f'{side}[{i}]', shape) for i, shape in enumerate(shapes)]


def test_maps_can_be_compared():
    large, small = maps((2, 4, 6, 8)), maps((2, 8, 3, 4), side='neck')
    check_features('M', large, large, resize=False)
    check_features('M', large, small, resize=True)
    with pytest.raises(
            ConfigError, match=r"M: 'backbone\[0\]' .* 6x8 cells .* 3x4; tap"):
        check_features('M', large, small, resize=False)
    with pytest.raises(ConfigError, match=r"M compares maps .* 'neck\[0\]'"):
        check_features('M', large, maps((2, 48, 4), side='neck'), resize=True)


def test_connectors_where_the_channels_differ():
    student = maps((2, 4, 6, 8), (2, 8, 3, 4))
    teacher = maps((2, 8, 6, 8), (2, 8, 3, 4))
    torch.manual_seed(0)
    one, two = build_connectors('auto', student, teacher)
    assert isinstance(two, nn.Identity)
    # As PyTorch initialises a convolution.
    bound = 4**-.5
    assert one.conv.weight.abs().max() <= bound
    assert one.conv.weight.std().item() == pytest.approx(bound / 3**.5, rel=.3)
    with pytest.raises(ConfigError, match='connector'):
        build_connectors(None, student, teacher)


def test_the_student_takes_the_size_of_the_teacher():
    feat_s, feat_t = torch.randn(2, 4, 3, 4), torch.randn(2, 8, 6, 8)
    assert match_student('M', feat_s, feat_t, True).shape == (2, 4, 6, 8)
    assert match_student('M', feat_s, feat_t[..., :3, :4], False) is feat_s
    with pytest.raises(ConfigError, match='pad_size_divisor.*resize=True'):
        match_student('M', feat_s, feat_t, False)
