"""Lamps, lights, signs, trees and small things on the pavements."""
import numpy as np

from ..assets import street
from ..seeds import child
from .site import Site
from .street import Crossing, Side

LAMP_HEIGHT = 6.2


def add_furniture(site: Site, rng: np.random.Generator) -> None:
    """Add all furniture, that of the crossings first."""
    plan = site.plan
    for crossing in plan.street.crossings:
        _add_corner(site, crossing, child(rng))
        for sign in (-1, 1):
            for edge in (-1, 1):
                _add_side_street(site, crossing, sign, edge, child(rng))
    for side in plan.street.sides:
        spacing = rng.uniform(18, 30)
        for a, e in plan.street.blocks:
            lo, hi = max(a + 4, -40), min(e - 4, 220)
            _add_lamps(site, side, lo, hi, spacing, child(rng))
            _add_trees(site, side, lo, hi, child(rng))
            own = child(rng)
            for _ in range(int((hi - lo) / 14)):
                _add_small_thing(site, side, own.uniform(lo, hi), child(own))
            _add_bus_stop(site, side, lo, hi, child(rng))
            _add_bollards(site, side, lo, hi, child(rng))
            _add_railing(site, side, lo, hi, child(rng))


def _lane_yaw(side: Side) -> float:
    """Heading of the lane beside a pavement, relative to the street."""
    return np.pi if side.sign > 0 else 0.


def _add_lamps(site: Site, side: Side, lo: float, hi: float, spacing: float,
               rng: np.random.Generator) -> None:
    d = side.sign * (side.half + .55)
    for s in np.arange(lo + rng.uniform(0, spacing), hi, spacing):
        mesh = street.lamp_post(child(rng), rng.uniform(1.2, 2.2))
        # The arm, along +y, reaches over the carriageway.
        if site.put(mesh, s, d, _lane_yaw(side)):
            x, y = site.plan.street.to_world(s, d - side.sign * 1.6)
            site.lamps.append(np.array([x, y, LAMP_HEIGHT]))


def _add_trees(site: Site, side: Side, lo: float, hi: float,
               rng: np.random.Generator) -> None:
    """A row of trees on the verge, or on the pavement."""
    if rng.random() >= site.plan.city.trees:
        return
    middle = side.verge_at + side.verge / 2 if side.verge else .95
    s = lo + rng.uniform(0, 8)
    while s < hi:
        if rng.random() < .85:
            site.plant(
                child(rng),
                s,
                side.sign * (side.half + middle),
                slim=side.walk + side.verge <= 4.2,
                foot=(.6, .6))
        s += rng.uniform(7, 12)


def _add_small_thing(site: Site, side: Side, s: float,
                     rng: np.random.Generator) -> None:
    """A sign, bin, bench, billboard, cabinet or pole."""
    pick, own, yaw = rng.random(), child(rng), _lane_yaw(side)
    sign, curb = side.sign, side.half
    wall = side.half + side.walk
    if pick < .5:
        site.put(street.traffic_sign(own), s, sign * (curb + .55), yaw)
    elif pick < .58:
        site.put(
            street.guide_sign(own),
            s,
            sign * (curb + .55),
            yaw,
            foot=(.4, 2.2))
    elif pick < .72:
        site.put(
            street.bin_(own),
            s,
            sign * (curb + .6),
            rng.uniform(-.2, .2),
            foot=(.8, .8))
    elif pick < .80:
        site.put(
            street.bench(own),
            s,
            sign * (wall - .6),
            np.pi / 2 * sign,
            foot=(.6, 1.8))
    elif pick < .88:
        site.put(
            street.billboard(own), s, sign * (curb + .75), yaw, foot=(.4, 1.4))
    elif pick < .95:
        site.put(street.cabinet(own), s, sign * (wall - .4), foot=(1.4, .5))
    else:
        site.put(street.pole(own, rng.uniform(5, 8)), s, sign * (curb + .55))


def _add_bus_stop(site: Site, side: Side, lo: float, hi: float,
                  rng: np.random.Generator) -> None:
    if side.walk > 2.6 and rng.random() < .3:
        site.put(
            street.bus_stop(child(rng)),
            rng.uniform(lo, hi),
            side.sign * (side.half + side.walk - .95),
            _lane_yaw(side),
            foot=(4.2, 1.6))


def _add_bollards(site: Site, side: Side, lo: float, hi: float,
                  rng: np.random.Generator) -> None:
    if rng.random() < .3:
        s = rng.uniform(lo, hi)
        for k in range(int(rng.integers(3, 9))):
            site.put(
                street.bollard(child(rng)),
                s + 1.6 * k,
                side.sign * (side.half + .35),
                foot=(.2, .2))


def _add_railing(site: Site, side: Side, lo: float, hi: float,
                 rng: np.random.Generator) -> None:
    """A guard rail or a railing along the curb."""
    district = site.plan.street.district
    if district not in ('avenue', 'edge') or rng.random() >= .25:
        return
    s = rng.uniform(lo, hi)
    for k in range(int(rng.integers(2, 5))):
        if district == 'edge' and rng.random() < .4:
            mesh = street.guard_rail(child(rng), 6.)
        else:
            mesh, _ = street.fence(child(rng), 6., 'railing')
        site.put(
            mesh,
            s + 6. * k,
            side.sign * (side.half + .3),
            _lane_yaw(side),
            foot=(5.8, .1))


def _add_side_street(site: Site, crossing: Crossing, sign: int, edge: int,
                     rng: np.random.Generator) -> None:
    """Things along one edge of a crossing street, to one side."""
    sides = site.plan.street.sides
    # Right-hand traffic drives along the edge on its right.
    yaw = np.pi / 2 if edge > 0 else -np.pi / 2
    line = crossing.s + edge * (crossing.half + .55)
    green = rng.random() < site.plan.city.trees
    d = sides[0 if sign > 0 else 1].half + 9. + rng.uniform(0, 6)
    while d < 78:
        pick, own, at = rng.random(), child(rng), sign * d
        if pick < .22:
            mesh = street.lamp_post(own, rng.uniform(1., 1.6))
            if site.put(mesh, line, at, np.pi / 2 * edge):
                x, y = site.plan.street.to_world(
                    crossing.s + edge * crossing.half * .6, at)
                site.lamps.append(np.array([x, y, LAMP_HEIGHT]))
        elif pick < .45:
            site.put(street.traffic_sign(own), line, at, yaw)
        elif pick < .53:
            site.put(street.bin_(own), line, at, yaw, foot=(.8, .8))
        elif pick < .60:
            site.put(street.cabinet(own), line, at, np.pi / 2, foot=(1.4, .5))
        elif pick < .66:
            site.put(street.billboard(own), line, at, yaw, foot=(.4, 1.4))
        elif green or pick > .9:
            site.plant(own, line + edge * .3, at, slim=True, foot=(.6, .6))
        d += rng.uniform(4, 9)


def _add_corner(site: Site, crossing: Crossing,
                rng: np.random.Generator) -> None:
    """Traffic lights, or signs, at a crossing."""
    plan = site.plan.street
    left, right = (side.half for side in plan.sides)
    s, w = crossing.s, crossing.half
    if not plan.signals:
        for at, d, yaw in ((s - w - 2.6, -(right + .5),
                            0.), (s + w + 2.6, left + .5, np.pi),
                           (s + w + .6, -(right + 2.4), np.pi / 2)):
            site.put(street.traffic_sign(child(rng)), at, d, yaw)
        return
    main = 2 if plan.green else 0
    over = plan.lanes > 1 or rng.random() < .35
    reach = plan.inner * .75 if over else 0.
    for state, arm, at, d, yaw in ((main, reach, s - w - 3.1, -(right + .5),
                                    0.), (main, 0., s + w + 1.2, -(right + .9),
                                          0.), (main, reach, s + w + 3.1,
                                                left + .5, np.pi),
                                   (main, 0., s - w - 3.1, left + .5, 0.),
                                   (2 - main, 0., s + w + .6, -(right + 2.6),
                                    np.pi / 2), (2 - main, 0., s - w - .6,
                                                 left + 2.6, -np.pi / 2)):
        site.put(street.traffic_light(child(rng), state, arm), at, d, yaw)
