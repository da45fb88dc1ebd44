"""Buildings, gardens, parks, walls and fences along all streets."""
import numpy as np

from ..assets import buildings, vehicles
from ..seeds import child
from .enclosures import add_border, add_enclosure
from .site import Site
from .street import CURB, S_MAX, S_MIN, SIDE, Side

KINDS = ('block', 'house', 'park', 'wall', 'fence', 'lot')
#: Their frequencies by district.
ODDS = {
    'downtown': (.84, .02, .03, .03, .04, .04),
    'avenue': (.66, .06, .08, .06, .08, .06),
    'residential': (.16, .56, .08, .09, .09, .02),
    'edge': (.12, .12, .22, .2, .24, .10),
}


def add_surroundings(site: Site, rng: np.random.Generator) -> None:
    """Add everything behind the pavements and at the ends of the streets."""
    for side in site.plan.street.sides:
        for a, e in site.plan.street.blocks:
            lo = a if a <= S_MIN else a + 3.3
            hi = e if e >= S_MAX else e - 3.3
            _add_row(site, side, lo, hi, child(rng))
            for s, inward in ((lo, 1), (hi, -1)):
                if s not in (S_MIN, S_MAX):
                    _add_side_row(site, side, s, inward, hi - lo > 26,
                                  child(rng))
    for c in site.plan.street.crossings:
        for sign in (-1, 1):
            d, face = sign * (SIDE + 3), '-d' if sign > 0 else '+d'
            for s0, s1 in ((c.s - 22, c.s + 2), (c.s + 2, c.s + 24)):
                _build(site, child(rng), s0, s1, d, d + sign * 10, face)
    for s, face in ((S_MAX + 8, '-s'), (S_MIN - 22, '+s')):
        _add_end(site, s, face, child(rng))


def _build(site: Site,
           rng: np.random.Generator,
           s0: float,
           s1: float,
           d0: float,
           d1: float,
           face: str,
           kind: str = 'block') -> None:
    """A building on a rectangle; ``face`` is the direction of its front."""
    s0, s1 = sorted((s0, s1))
    d0, d1 = sorted((d0, d1))
    order = {
        '-d': [(s0, d0), (s1, d0), (s1, d1), (s0, d1)],
        '+d': [(s1, d1), (s0, d1), (s0, d0), (s1, d0)],
        '-s': [(s0, d1), (s0, d0), (s1, d0), (s1, d1)],
        '+s': [(s1, d0), (s1, d1), (s0, d1), (s0, d0)],
    }[face]
    s, d = np.array(order, float).T
    site.parts.append(
        buildings.building(rng, np.stack(site.plan.street.to_world(s, d), 1),
                           site.plan.city.buildings, kind))


def _add_side_row(site: Site, side: Side, s: float, inward: int, deep: bool,
                  rng: np.random.Generator) -> None:
    """Houses of a block along a crossing street; trees on small blocks."""
    d = side.front + 17.
    while d < SIDE - 12:
        width = rng.uniform(8, 18)
        if deep and rng.random() < .85:
            _build(site, child(rng), s, s + inward * 11, side.sign * d,
                   side.sign * (d + width), '-s' if inward > 0 else '+s')
        elif rng.random() < .7:
            site.plant(child(rng), s + inward * 4, side.sign * (d + 5))
        d += width + (rng.uniform(2, 6) if rng.random() < .3 else 0)


def _add_end(site: Site, s: float, face: str,
             rng: np.random.Generator) -> None:
    """The backdrop at an end of the main street."""
    d = -70.
    while d < 70:
        width = rng.uniform(10, 20)
        if rng.random() < .8:
            _build(site, child(rng), s, s + 12, d, d + width, face)
        else:
            for _ in range(3):
                site.plant(
                    child(rng), s + rng.uniform(0, 8),
                    d + rng.uniform(0, width))
        d += width


def _add_row(site: Site, side: Side, lo: float, hi: float,
             rng: np.random.Generator) -> None:
    """Lots side by side along one side of the main street."""
    feature, odds = site.plan.feature, ODDS[site.plan.street.district]
    left = side.sign > 0
    s, count = lo, 0
    while s < hi - 5:
        kind = str(rng.choice(KINDS, p=odds))
        if feature in ('wall', 'fence') and count % 3 == (0 if left else 1):
            kind = feature
        count += 1
        width = min(
            rng.uniform(11, 17) if kind == 'house' else rng.uniform(9, 20),
            hi - s)
        if hi - s - width < 6:
            width = hi - s
        add = {
            'block': _add_block,
            'house': _add_house,
            'park': _add_park,
            'lot': _add_lot
        }.get(kind)
        if add is None:
            _add_enclosed(site, side, s, s + width, kind, child(rng))
        else:
            add(site, side, s, s + width, child(rng))
        s += width


def _face(side: Side) -> str:
    return '-d' if side.sign > 0 else '+d'


def _add_block(site: Site, side: Side, s: float, e: float,
               rng: np.random.Generator) -> None:
    d = side.front + .05
    setback = rng.uniform(0, 1.2) if rng.random() < .25 else 0.
    hall = site.plan.street.district == 'edge' and rng.random() < .5
    _build(site, child(rng), s, e, side.sign * (d + setback),
           side.sign * (d + rng.uniform(11, 15)), _face(side),
           'hall' if hall else 'block')


def _add_house(site: Site, side: Side, s: float, e: float,
               rng: np.random.Generator) -> None:
    """A house behind its front garden."""
    d, back, gap = side.front + .05, rng.uniform(3.5, 7), rng.uniform(1.2, 2.8)
    _build(site, child(rng), s + gap, e - gap, side.sign * (d + back),
           side.sign * (d + back + rng.uniform(8, 10)), _face(side), 'house')
    add_border(site, s, e, side.sign * (d + .35), child(rng))
    if rng.random() < .6:
        site.plant(
            child(rng),
            rng.uniform(s + 1, e - 1),
            side.sign * (d + back * .55),
            slim=True)
    for _ in range(int(rng.integers(0, 4))):
        site.bush(
            child(rng), rng.uniform(s + 1, e - 1),
            side.sign * (d + rng.uniform(1.2, back - .8)))


def _add_park(site: Site, side: Side, s: float, e: float,
              rng: np.random.Generator) -> None:
    d = side.front + .05
    for _ in range(int((e - s) * 1.1)):
        depth = rng.uniform(0, 1)
        site.plant(
            child(rng),
            rng.uniform(s, e),
            side.sign * (d + 2 + depth * 22),
            slim=depth < .1,
            foot=(1., 1.))
    for _ in range(int((e - s) * .5)):
        site.bush(
            child(rng), rng.uniform(s, e),
            side.sign * (d + rng.uniform(.6, 12)), rng.uniform(.7, 1.6))


def _add_enclosed(site: Site, side: Side, s: float, e: float, kind: str,
                  rng: np.random.Generator) -> None:
    """Something behind a wall or a fence."""
    d = side.front + .05
    add_enclosure(site, kind, s, e, side.sign * (d + .3), child(rng))
    if rng.random() < .5:
        hall = rng.random() < .4
        _build(site, child(rng), s + 1, e - 1, side.sign * (d + 9),
               side.sign * (d + 20), _face(side), 'hall' if hall else 'block')
    else:
        for _ in range(int((e - s) * .5)):
            site.plant(
                child(rng),
                rng.uniform(s, e),
                side.sign * (d + rng.uniform(4, 20)),
                foot=(1., 1.))
    for _ in range(int((e - s) * .25)):
        site.bush(
            child(rng), rng.uniform(s + .5, e - .5),
            side.sign * (d + rng.uniform(1.4, 4)), rng.uniform(.8, 1.5))


def _add_lot(site: Site, side: Side, s: float, e: float,
             rng: np.random.Generator) -> None:
    """A car park before a building."""
    d = side.front + .05
    for x in np.arange(s + 2, e - 1.2, 2.8):
        if rng.random() < .7 * site.plan.city.cars + .1:
            site.park('vehicle.car', vehicles.car(child(rng)), x,
                      side.sign * (d + 3.4),
                      np.pi / 2 * rng.choice([-1, 1]) + rng.normal(0, .03),
                      CURB)
    _build(site, child(rng), s, e, side.sign * (d + 15), side.sign * (d + 24),
           _face(side))
    if rng.random() < .5:
        add_enclosure(site, 'fence', s, s + (e - s) / 2, side.sign * (d + .3),
                      child(rng), 'railing')
