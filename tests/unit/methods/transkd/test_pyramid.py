"""Tokens and maps of a pyramid of transformers."""
import pytest
import torch
from torch import nn

from mmkd.errors import ConfigError
from mmkd.methods.transkd.pyramid import resize_tokens
from tests.fixtures.pyramids import LARGE, SMALL, pyramid, set_up


def test_resize_tokens():
    tokens = torch.randn(2, 6, 4)
    assert resize_tokens(tokens, (2, 3), (2, 3)) is tokens
    resized = resize_tokens(tokens, (2, 3), (4, 6))
    maps = tokens.reshape(2, 2, 3, 4).permute(0, 3, 1, 2)
    expected = nn.functional.interpolate(maps, (4, 6), mode='bilinear')
    assert torch.equal(
        resized.reshape(2, 4, 6, 4), expected.permute(0, 2, 3, 1))
    with pytest.raises(ValueError, match='6 tokens are no map of 3x3'):
        resize_tokens(tokens, (3, 3), (2, 3))


def test_height_and_width_must_be_known():
    student, teacher = pyramid(SMALL), pyramid(LARGE)
    tokens = dict(student, stages=student['embeddings'])
    with pytest.raises(ConfigError, match='maps .N, C, H, W.*tap the backb'):
        set_up(tokens, teacher)
    other = dict(teacher, stages=pyramid(LARGE, (32, 32))['stages'])
    with pytest.raises(ConfigError, match="teacher's tokens .*not known"):
        set_up(student, other)
    vector = dict(student, embeddings=[e[0] for e in student['embeddings']])
    with pytest.raises(ConfigError, match='embeddings are tokens'):
        set_up(vector, teacher)
