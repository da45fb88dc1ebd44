"""People stand, walk and ride."""
import numpy as np
import pytest

from driving_scenes.assets import people
from driving_scenes.labels import LABEL_IDS


def test_people_stand_walk_and_ride():
    for seed in range(6):
        who = people.Person(np.random.default_rng(seed), child=seed == 0)
        for mesh in (who.walking(0., 0.), who.walking(1.3)):
            low, high = mesh.bounds()
            assert -.05 < low[2] < .06
            assert high[2] == pytest.approx(who.height, rel=.08)
            assert set(mesh.label) == {LABEL_IDS['person']}
        for motor in (False, True):
            mesh = who.riding(.5, motor)
            assert np.isfinite(mesh.vertices).all()
            assert set(mesh.label) == {LABEL_IDS['rider']}
