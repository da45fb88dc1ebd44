"""Walls, fences and hedges."""
import numpy as np

from ..assets import plants, street
from .site import Site


def add_enclosure(site: Site,
                  kind: str,
                  s: float,
                  e: float,
                  d: float,
                  rng: np.random.Generator,
                  style: str = '') -> None:
    """Add a wall or fence in pieces that follow the bend of the street.

    Args:
        site (Site): Gets it.
        kind (str): ``wall`` or ``fence``.
        s (float): Where it begins, metres along the street.
        e (float): Where it ends.
        d (float): Metres to the left of the centre line.
        rng (np.random.Generator): Source of its looks.
        style (str): Of a fence; random when empty.
    """
    count = max(1, int((e - s) / 7))
    step = (e - s) / count
    look = int(rng.integers(1 << 30))
    if not style and kind == 'fence':
        style = str(rng.choice(['planks', 'pickets', 'bars', 'mesh']))
    for k in range(count):
        # All pieces look alike.
        own = np.random.default_rng(look)
        mesh, _ = street.wall(own, step + .05) if kind == 'wall' else \
            street.fence(own, step, style)
        site.put(mesh, s + (k + .5) * step, d, foot=None)


def add_border(site: Site, s: float, e: float, d: float,
               rng: np.random.Generator) -> None:
    """Add the border of a front garden: hedge, fence, wall or nothing."""
    kind = str(
        rng.choice(['hedge', 'fence', 'wall', 'none'], p=[.34, .32, .18, .16]))
    gate = rng.uniform(s + 2, e - 4)
    style = str(rng.choice(['planks', 'pickets', 'bars']))
    look = int(rng.integers(1 << 30))
    if kind == 'none':
        return
    for low, high in ((s + .2, gate), (gate + 1.8, e - .2)):
        if high - low < 1:
            continue
        own = np.random.default_rng(look)
        if kind == 'hedge':
            mesh = plants.hedge(own, high - low)
        elif kind == 'fence':
            mesh, _ = street.fence(own, high - low, style)
        else:
            mesh, _ = street.wall(own, high - low)
        site.put(mesh, (low + high) / 2, d, foot=None)
