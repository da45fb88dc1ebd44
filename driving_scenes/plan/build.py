"""Building a world from a plan."""
from typing import Callable, Dict

import numpy as np

from ..seeds import Seed, named
from ..world import World
from .features import add_feature
from .furniture import add_furniture
from .greenery import draw_greenery
from .ground import add_ground
from .pedestrians import add_pedestrians
from .site import Site
from .street import Plan
from .surroundings import add_surroundings
from .traffic import add_cross_traffic, add_parked, add_traffic

Part = Callable[[Site, np.random.Generator], None]

#: The parts of a world in the order of placement.
PARTS: Dict[str, Part] = {
    'ground': add_ground,
    'surroundings': add_surroundings,
    'furniture': add_furniture,
    'feature': add_feature,
    'parked': add_parked,
    'traffic': add_traffic,
    'cross traffic': add_cross_traffic,
    'pedestrians': add_pedestrians,
}


def build_world(plan: Plan, seed: Seed, name: str, **parts: Part) -> World:
    """Build a world from a plan.

    Args:
        plan (Plan): Result of :func:`.street.draw_plan`.
        seed (Sequence[int]): Numbers of the scene.
        name (str): Name of the scene.
        **parts: Functions that replace those of :data:`PARTS`.

    Returns:
        World: The scene.
    """
    site = Site(plan, draw_greenery(named(seed, 'greenery')))
    for part, add in {**PARTS, **parts}.items():
        add(site, named(seed, part))
    return site.world(name)
