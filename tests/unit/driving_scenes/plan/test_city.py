"""A city is drawn from its name and seed."""
import numpy as np

from driving_scenes.plan import FEATURES, make_city


def test_a_city_looks_the_same_each_time():
    one, two = make_city('kelso', 0), make_city('kelso', 0)
    np.testing.assert_array_equal(one.asphalt, two.asphalt)
    assert (make_city('kelso', 1).asphalt != one.asphalt).any()
    assert 'train' in FEATURES
