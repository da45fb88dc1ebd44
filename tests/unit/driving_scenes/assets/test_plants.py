"""Plants stand on the ground."""
import numpy as np
import pytest

from driving_scenes.assets import plants
from driving_scenes.labels import LABEL_IDS


@pytest.mark.parametrize('kind', ['round', 'tall', 'conifer', 'bare', 'young'])
def test_trees_stand_on_the_ground(kind):
    mesh = plants.tree(np.random.default_rng(0), kind)
    low, high = mesh.bounds()
    assert low[2] > -.4 and 3 < high[2] < 16
    assert set(mesh.label) == {LABEL_IDS['vegetation']}
