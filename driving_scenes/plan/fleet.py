"""Vehicles and riders to place: category, mesh and size."""
from typing import Tuple

import numpy as np

from ..assets import people, vehicles
from ..meshes import Mesh, concat
from ..seeds import child
from .site import Site, Size

#: Category of each kind; :mod:`..assets.vehicles` makes it.
KINDS = dict(
    car='vehicle.car',
    truck='vehicle.truck',
    bus='vehicle.bus.rigid',
    train='vehicle.train',
    caravan='vehicle.caravan',
    trailer='vehicle.trailer',
    motorcycle='vehicle.motorcycle',
    bicycle='vehicle.bicycle',
    construction='vehicle.construction')


def make_vehicle(kind: str,
                 rng: np.random.Generator) -> Tuple[str, Tuple[Mesh, Size]]:
    """A random vehicle.

    Args:
        kind (str): One of :data:`KINDS`.
        rng (np.random.Generator): Source of its looks.

    Returns:
        tuple: Category, and its mesh with (l, w, h) in metres.
    """
    return KINDS[kind], getattr(vehicles, kind)(rng)


def ride(site: Site, motor: bool, s: np.ndarray, d: np.ndarray,
         rng: np.random.Generator) -> bool:
    """Add a rider on a two-wheeler, unless it would collide.

    Args:
        site (Site): Gets them.
        motor (bool): Whether it is a motorcycle.
        s (np.ndarray): (T, ), metres along the street.
        d (np.ndarray): (T, ), metres to its left.
        rng (np.random.Generator): Source of their looks.

    Returns:
        bool: Whether they were added.
    """
    category, (base, size) = make_vehicle('motorcycle' if motor else 'bicycle',
                                          child(rng))
    who = people.Person(child(rng))
    turn = 0. if motor else abs(float(s[-1] - s[0])) / 11. * 2.2

    def pose_mesh(t: float) -> Mesh:
        return concat([base, who.riding(turn * t, motor)])

    return site.drive(
        category, (size[0], max(size[1], .65), 1.75),
        s,
        d,
        pose_mesh=pose_mesh,
        attribute='cycle.with_rider')
