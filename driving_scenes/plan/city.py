"""The common style of a city's streets."""
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ..assets import buildings


@dataclass(frozen=True)
class CityStyle:
    """The common style of a city's streets.

    Args:
        name (str): Name, letters only.
        buildings (BuildingStyle): Style of its buildings.
        trees (float): Density of trees, 0 to 1.
        cars (float): Density of cars, 0 to 1.
        people (float): Density of people, 0 to 1.
        asphalt (np.ndarray): (3, ), colour of its roads.
        paving (tuple): Style and slab size of the pavement.
        paving_color (np.ndarray): (3, ).
    """
    name: str
    buildings: buildings.BuildingStyle
    trees: float
    cars: float
    people: float
    asphalt: np.ndarray
    paving: Tuple[float, float]
    paving_color: np.ndarray


def make_city(name: str, seed: int) -> CityStyle:
    """The style of a city, the same for the same name and seed.

    Args:
        name (str): Name, letters only.
        seed (int): Seed of the data set.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    pick = rng.permutation(len(buildings.FACADES))[:7]
    low = int(rng.integers(2, 4))
    style = buildings.BuildingStyle(buildings.FACADES[pick],
                                    (low, low + int(rng.integers(1, 4))),
                                    rng.uniform(.2, .8), rng.uniform(.2, .6))
    kind = float(rng.integers(3))
    size = {0.: rng.uniform(.4, .9), 1.: rng.uniform(.12, .2), 2.: .5}[kind]
    grey = rng.uniform(.10, .19)
    pave = rng.uniform(.20, .36) if kind < 2 else rng.uniform(.12, .2)
    return CityStyle(name, style, rng.uniform(.35, .9), rng.uniform(.5, 1.),
                     rng.uniform(.5, 1.), grey * rng.uniform(.93, 1.05, 3),
                     (kind, size), pave * np.array([1.03, 1., .95]))
