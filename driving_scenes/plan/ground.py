"""The ground: carriageways, blocks with pavement and curbs."""
from typing import Any, Dict

import numpy as np

from ..labels import LABEL_IDS
from ..materials import Mat
from ..meshes import MeshBuilder
from ..seeds import child
from .markings import add_markings
from .site import Site
from .street import CURB, ROAD, S_MAX, S_MIN, SIDE, Side, Street
from .surfaces import add_surface, lines

SIDEWALK = LABEL_IDS['sidewalk']
TERRAIN = LABEL_IDS['terrain']

Look = Dict[str, Any]


def add_ground(site: Site, rng: np.random.Generator) -> None:
    """Add carriageways, markings, and blocks with pavement and curbs."""
    street, b = site.plan.street, MeshBuilder(ROAD)
    add_surface(
        b,
        street,
        lines(-150, 349, 20),
        lines(-110, 110, 40),
        -.06,
        material=Mat.GRASS,
        color=(.08, .12, .04),
        param=(0, .1, 0, 0),
        label=TERRAIN)
    road = _asphalt(site)
    left, right = (side.half for side in street.sides)
    add_surface(b, street, lines(S_MIN, S_MAX),
                [-right, -street.inner, street.inner, left], 0., **road)
    drivable = [_outline(street, S_MIN, S_MAX, -right, left)]
    for c in street.crossings:
        low, high = c.s - c.half, c.s + c.half
        for d0, d1 in ((left, SIDE), (-SIDE, -right)):
            add_surface(b, street, [low, c.s, high], lines(d0, d1), 0., **road)
            drivable.append(_outline(street, low, high, d0, d1))
    add_markings(b, site.plan, child(rng))
    walkway = []
    for side in street.sides:
        for low, high in street.blocks:
            _add_block(b, site, side, low, high, child(rng))
            walkway.append(
                _outline(
                    street, low, high,
                    *sorted((side.sign * side.half, side.sign * side.front))))
    site.areas.update(drivable=drivable, walkway=walkway)
    site.parts.append(b.build())


def _asphalt(site: Site) -> Look:
    return dict(
        material=Mat.ASPHALT,
        color=site.plan.city.asphalt,
        param=(site.plan.street.tar, 0, 0, 0),
        label=ROAD)


def _outline(street: Street, s0: float, s1: float, d0: float,
             d1: float) -> np.ndarray:
    """Polygon (P, 2) in the world of a rectangle of street coordinates."""
    s = np.concatenate([lines(s0, s1), lines(s1, s0)])
    return np.stack(street.to_world(s, np.repeat([d0, d1], len(s) // 2)), 1)


def _add_block(b: MeshBuilder, site: Site, side: Side, a: float, e: float,
               rng: np.random.Generator) -> None:
    """One raised block: pavement around it, curbs, ground behind."""
    city, street = site.plan.city, site.plan.street
    wa = 0. if a <= S_MIN else min(3., (e - a) / 4)
    we = 0. if e >= S_MAX else min(3., (e - a) / 4)
    pave = dict(
        material=Mat.PAVING,
        color=city.paving_color,
        param=(rng.random(), *city.paving, 0),
        label=SIDEWALK)
    grass = dict(
        material=Mat.GRASS,
        color=np.array([.07, .13, .03]) * rng.uniform(.8, 1.4),
        param=(rng.random(), rng.uniform(-.3, .4), 0, 0),
        label=TERRAIN)
    green = street.district in ('residential', 'edge') or rng.random() < .3
    yard = grass if green else dict(
        material=Mat.GRAVEL, color=(.22, .20, .17), label=LABEL_IDS['ground'])
    front, end = side.walk + side.verge, SIDE - side.half
    v0, v1 = side.verge_at, side.verge_at + side.verge
    for lo, hi, look in ((0., v0, pave), (v0, v1, grass),
                         (v1, max(front, v1), pave), (front, end, yard)):
        if hi - lo > .05:
            add_surface(b, street, lines(a + wa, e - we),
                        sorted(_beside(side, lines(lo, hi, 8.))), CURB, **look)
    radius = min(wa or we or 1., front, 2.6)
    stone = dict(
        material=Mat.PAVING,
        color=city.paving_color * 1.25,
        param=(1., 0, .5, 0),
        label=SIDEWALK)
    s = lines(a + (radius if wa else 0), e - (radius if we else 0))
    curb = side.sign * side.half
    _add_skirt(b, *street.to_world(s, np.full_like(s, curb)), s, stone)
    add_surface(b, street, s, sorted([curb, curb + side.sign * .18]),
                CURB + .004, **stone)
    for s_end, width, inward in ((a, wa, 1), (e, we, -1)):
        if width:
            _add_corner(b, site, side, s_end, inward * width, inward * radius,
                        pave, stone)


def _beside(side: Side, x) -> np.ndarray:
    """``d`` of distances from the curb away from the road."""
    return side.sign * (side.half + np.asarray(x, float))


def _add_corner(b: MeshBuilder, site: Site, side: Side, s_end: float,
                width: float, radius: float, pave: Look, stone: Look) -> None:
    """The rounded end of a block and its side along the crossing street.

    Args:
        b (MeshBuilder): Gets it.
        site (Site): Of the plan.
        side (Side): Of the street.
        s_end (float): Where the block ends.
        width (float): Of the pavement there, inwards, with its sign.
        radius (float): Of the corner, with the same sign.
        pave (dict): Look of the pavement.
        stone (dict): Look of the curb.
    """
    street, size = site.plan.street, abs(radius)
    front, end = side.walk + side.verge, SIDE - side.half
    add_surface(b, street, sorted([s_end, s_end + width]),
                sorted(_beside(side, lines(front, end))), CURB, **pave)
    # The carriageway reaches under the rounded corner.
    add_surface(b, street, sorted([s_end, s_end + radius]),
                sorted(_beside(side, [0., size])), 0., **_asphalt(site))
    arc = np.linspace(0, np.pi / 2, 7)
    s_arc = s_end + radius * (1 - np.sin(arc))
    e_arc = size * (1 - np.cos(arc))
    s = np.concatenate([[s_end + width], s_arc, [s_end, s_end + width]])
    d = _beside(side, np.concatenate([[0], e_arc, [front, front]]))
    x, y = street.to_world(s, d)
    n = len(s)
    fan = np.stack(
        [np.full(n - 2, n - 1),
         np.arange(n - 2),
         np.arange(1, n - 1)], 1)
    b.add(
        np.stack([x, y, np.full_like(x, CURB)], 1),
        fan,
        uv=np.stack([s, d], 1)[fan],
        **pave)
    s = np.concatenate([s_arc, np.full(12, s_end)])
    e = np.concatenate([e_arc, np.linspace(size, end, 12)])
    run = np.cumsum(
        np.hypot(np.diff(s, prepend=s[0]), np.diff(e, prepend=e[0])))
    _add_skirt(b, *street.to_world(s, _beside(side, e)), run, stone)


def _add_skirt(b: MeshBuilder, x: np.ndarray, y: np.ndarray, run: np.ndarray,
               look: Look) -> None:
    """The vertical face of a curb along a line (N, ) in the world."""
    n = len(x)
    v = np.concatenate([
        np.stack([x, y, np.full(n, -.02)], 1),
        np.stack([x, y, np.full(n, CURB)], 1)
    ])
    i = np.arange(n - 1)
    faces = np.concatenate([
        np.stack([i, i + 1, i + 1 + n], 1),
        np.stack([i, i + 1 + n, i + n], 1)
    ])
    uv = np.stack([np.tile(run, 2), v[:, 2]], 1)
    b.add(v, faces, uv=uv[faces], **look)
