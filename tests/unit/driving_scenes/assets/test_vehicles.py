"""Vehicles fill their boxes."""
import numpy as np
import pytest

from driving_scenes.assets import vehicles


@pytest.mark.parametrize('make', [
    vehicles.car, vehicles.truck, vehicles.bus, vehicles.train,
    vehicles.trailer, vehicles.caravan, vehicles.bicycle, vehicles.motorcycle,
    vehicles.construction
])
def test_vehicles_fill_their_boxes(make):
    for seed in range(6):
        mesh, (length, width, height) = make(np.random.default_rng(seed))
        low, high = mesh.bounds()
        assert np.isfinite(mesh.vertices).all()
        assert -.06 < low[2] < .35
        size = high - low
        assert size[0] == pytest.approx(length, rel=.12, abs=.2)
        assert size[1] == pytest.approx(width, rel=.2, abs=.25)
        assert .8 * height < high[2] < 1.15 * height + 1.4
