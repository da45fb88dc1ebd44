"""Pedestrians: along the pavements, crossing, waiting, in groups."""
from typing import Optional, Tuple

import numpy as np

from ..assets import people
from ..meshes import Mesh
from ..seeds import child
from .site import Site
from .street import CURB, Crossing, Side

#: Density of pedestrians by district.
BUSY = {'downtown': 1.3, 'avenue': 1., 'residential': .55, 'edge': .4}


def add_pedestrians(site: Site, rng: np.random.Generator) -> None:
    """Add all pedestrians."""
    street = site.plan.street
    busy = BUSY[street.district] * site.plan.city.people
    for _ in range(int(rng.poisson(34 * busy))):
        _add_group(site, child(rng))
    for crossing in street.crossings:
        own = child(rng)
        for _ in range(int(own.poisson(4.5 * busy))):
            _add_crossing(site, crossing, child(own))
        own = child(rng)
        for _ in range(int(own.poisson(3. * busy))):
            _add_waiting(site, crossing, child(own))
        own = child(rng)
        for _ in range(int(own.poisson(5. * busy))):
            _add_beside(site, crossing, child(own))


def _side(site: Site, rng: np.random.Generator) -> Side:
    return site.plan.street.sides[int(rng.integers(2))]


def _add_group(site: Site, rng: np.random.Generator) -> None:
    """One to three people on a pavement of the main street."""
    plan, side = site.plan, _side(site, child(rng))
    # If the verge lies next to the road, they walk behind it.
    beside = side.verge if side.verge_at == 0. else 0.
    d = side.half + beside + rng.uniform(.7, max(.8, side.walk - .5))
    s = float(np.interp(rng.uniform(0, 8), plan.times, plan.ego.s)) + \
        rng.uniform(4, 45)
    speed = 0. if rng.random() < .22 else \
        rng.normal(1.3, .2) * rng.choice([-1, 1])
    if plan.street.crosses(s, 2):
        return
    for k in range(int(rng.choice([1, 2, 3], p=[.68, .24, .08]))):
        _add_person(site, (s + rng.normal(0, .25) + .2 * k, side.sign *
                           (d + .62 * k)), (speed, 0.), CURB, child(rng))


def _add_crossing(site: Site, crossing: Crossing,
                  rng: np.random.Generator) -> None:
    """Add a pedestrian on a zebra crossing."""
    street = site.plan.street
    left, right = street.sides
    s = crossing.s + rng.choice([-1, 1]) * (crossing.half + 2.4) + \
        rng.uniform(-1.2, 1.2)
    _add_person(
        site, (s, rng.uniform(-street.inner, street.inner)),
        (0., rng.choice([-1, 1]) * rng.uniform(1.1, 1.6)),
        0.,
        child(rng),
        span=(-right.half - 2., left.half + 2.))


def _add_waiting(site: Site, crossing: Crossing,
                 rng: np.random.Generator) -> None:
    """Add a pedestrian who waits at a zebra crossing."""
    side = _side(site, child(rng))
    s = crossing.s + rng.choice([-1, 1]) * \
        (crossing.half + rng.uniform(1.8, 3.4))
    _add_person(
        site, (s, side.sign * (side.half + rng.uniform(.5, 2.))), (0., 0.),
        CURB,
        child(rng),
        facing=-side.sign * np.pi / 2)


def _add_beside(site: Site, crossing: Crossing,
                rng: np.random.Generator) -> None:
    """Add a pedestrian on a pavement of a crossing street."""
    side = _side(site, child(rng))
    s = crossing.s + rng.choice([-1, 1]) * \
        (crossing.half + rng.uniform(1.2, 2.6))
    _add_person(site, (s, side.sign * (side.half + rng.uniform(9., 50.))),
                (0., rng.normal(1.3, .2) * rng.choice([-1, 1])), CURB,
                child(rng))


def _add_person(site: Site,
                place: Tuple[float, float],
                velocity: Tuple[float, float],
                z: float,
                rng: np.random.Generator,
                facing: Optional[float] = None,
                span: Optional[Tuple[float, float]] = None) -> bool:
    """Add a person, unless the way is blocked.

    Args:
        site (Site): Gets the person.
        place (tuple[float, float]): Position (s, d) in mid-scene, metres.
        velocity (tuple[float, float]): Along and across the street, m/s.
        z (float): Height of the ground, metres.
        rng (np.random.Generator): Source of the looks.
        facing (float, optional): Heading of a standing person, radians
            relative to the street. Defaults to None: random.
        span (tuple[float, float], optional): Minimum and maximum ``d`` of a
            walk across the street, from pavement to pavement.
    """
    plan, times = site.plan, site.plan.times
    who = people.Person(child(rng), child=bool(rng.random() < .1))
    category = f'human.pedestrian.{"child" if who.child else "adult"}'
    speed = float(np.hypot(*velocity))
    if not speed:
        yaw = rng.uniform(0, 2 * np.pi) if facing is None else \
            facing + rng.normal(0, .3)
        made = who.walking(rng.uniform(0, 6), .15), who.size
        return site.park(category, made, *place, yaw, z, 'pedestrian.standing')
    s, d = (start + v * (times - plan.duration / 2)
            for start, v in zip(place, velocity))
    zs = np.full_like(times, z)
    if span is not None:
        d = np.clip(d, *span)
        out = np.maximum(d - (span[1] - 2.), (span[0] + 2.) - d)
        zs = np.clip(out * 4, 0, 1) * CURB
    if velocity[1]:
        yaw = plan.street.yaws(s, 1) + np.sign(velocity[1]) * np.pi / 2
    else:
        yaw = plan.street.yaws(s, 1 if velocity[0] > 0 else -1)
    rate = speed * 2.2 * 2 / max(who.height, 1.) * .9

    def pose_mesh(time: float) -> Mesh:
        return who.walking(rate * time)

    return site.drive(
        category,
        who.size,
        s,
        d,
        pose_mesh=pose_mesh,
        attribute='pedestrian.moving',
        yaw=yaw,
        z=zs)
