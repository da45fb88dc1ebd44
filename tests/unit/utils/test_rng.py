import random

import numpy as np
import pytest
import torch

from mmkd.utils import compat
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


def test_versions(monkeypatch):
    compat.check_versions()
    versions = dict(torch='2.5.1+cu121')
    real = compat.metadata.version
    monkeypatch.setattr(compat.metadata, 'version',
                        lambda name: versions.get(name) or real(name))
    with pytest.raises(ImportError, match='torch >= 2.6.0.*2.5.1'):
        compat.check_versions()

    def missing(name):
        raise compat.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(compat.metadata, 'version', missing)
    with pytest.raises(ImportError, match='torch.*not installed'):
        compat.check_versions()
