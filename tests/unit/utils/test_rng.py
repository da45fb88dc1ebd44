import random

import numpy as np
import pytest
import torch

from mmkd.utils.rng import preserve_rng


def draw():
    return random.random(), np.random.rand(), torch.rand(1).item()


def seed():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)


def test_preserve_rng():
    seed()
    expected = draw()
    seed()
    with preserve_rng():
        assert draw() == expected
        draw()
    assert draw() == expected
    seed()
    with pytest.raises(ValueError), preserve_rng():
        draw()
        raise ValueError
    assert draw() == expected
