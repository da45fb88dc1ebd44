"""Road markings and surfaces flush with the road."""
from typing import Any, List, Tuple

import numpy as np

from ..materials import Mat
from ..meshes import MeshBuilder
from ..seeds import child
from .street import LANE, ROAD, S_MAX, S_MIN, TRACK, Plan, Side, Street
from .surfaces import add_surface, lines


def add_markings(b: MeshBuilder, plan: Plan, rng: np.random.Generator) -> None:
    """Add lane lines, stop lines, zebra crossings, tram rails and bays.

    Args:
        b (MeshBuilder): Gets them.
        plan (Plan): The plan.
        rng (np.random.Generator): Chooses their kinds.
    """
    street = plan.street
    dashed, red = rng.random() < .75, rng.random() < .4
    for a, e in _spans(street):
        if e - a < 6:
            continue
        _add_lanes(b, street, a, e, dashed)
        if street.bike:
            _add_bike_lanes(b, street, a, e, red)
        for side in street.sides:
            if side.parking:
                _add_bays(b, plan, side, a, e)
    _add_crossings(b, street, child(rng))
    if street.tram:
        for d in (track + rail for track in (-TRACK, TRACK)
                  for rail in (-.72, .72)):
            add_surface(
                b,
                street,
                lines(S_MIN, S_MAX), [d - .05, d + .05],
                .008,
                material=Mat.METAL,
                color=(.08, .08, .085),
                label=ROAD)


def _spans(street: Street) -> List[Tuple[float, float]]:
    """Pieces of the main street between its crossings and their zebras."""
    found, last = [], S_MIN
    for c in street.crossings:
        found.append((last, c.s - c.half - 4.5))
        last = c.s + c.half + 4.5
    return found + [(last, S_MAX)]


def _paint(b: MeshBuilder, street: Street, s0: float, s1: float, d0: float,
           d1: float) -> None:
    add_surface(
        b,
        street,
        lines(s0, s1), [d0, d1],
        .006,
        material=Mat.PAINT,
        color=(.62, .62, .60),
        param=(0, street.wear, 0, 0),
        label=ROAD)


def _dashes(b: MeshBuilder,
            street: Street,
            a: float,
            e: float,
            d: float,
            half: float,
            length: float = 3.,
            step: float = 9.) -> None:
    for s in np.arange(a, e - length, step):
        _paint(b, street, s, s + length, d - half, d + half)


def _add_lanes(b: MeshBuilder, street: Street, a: float, e: float,
               dashed: bool) -> None:
    if street.tram:
        for d in (-street.tram_half, street.tram_half):
            _paint(b, street, a, e, d - .07, d + .07)
    elif dashed:
        _dashes(b, street, a, e, 0., .07)
    elif street.lanes > 1:
        for d in (-.12, .12):
            _paint(b, street, a, e, d - .06, d + .06)
    for k in range(1, street.lanes):
        for sign in (-1, 1):
            _dashes(b, street, a, e, sign * (street.tram_half + k * LANE), .06)


def _add_bike_lanes(b: MeshBuilder, street: Street, a: float, e: float,
                    red: bool) -> None:
    edge = street.inner - 1.5
    for sign in (-1, 1):
        if red:
            add_surface(
                b,
                street,
                lines(a, e),
                sorted((sign * edge, sign * street.inner)),
                .004,
                material=Mat.ASPHALT,
                color=(.26, .07, .05),
                param=(3, 0, 0, 0),
                label=ROAD)
        _dashes(b, street, a, e, sign * edge, .06, 1.4, 2.5)


def _add_bays(b: MeshBuilder, plan: Plan, side: Side, a: float,
              e: float) -> None:
    street = plan.street
    lo, hi = sorted((side.sign * street.inner, side.sign * side.half))
    if street.parking_label != ROAD:
        look: Any = dict(
            material=Mat.PAVING,
            color=plan.city.asphalt * 1.15,
            param=(5, 1, .16, 0),
            label=street.parking_label)
        add_surface(b, street, lines(a + 3, e - 3), [lo, hi], .004, **look)
    for s in np.arange(a + 3, e - 3, 5.6):
        _paint(b, street, s, s + .1, lo, hi)


def _add_crossings(b: MeshBuilder, street: Street,
                   rng: np.random.Generator) -> None:
    """Stop lines, zebras, and the lines of the crossing streets."""
    inner, (left, right) = street.inner, street.sides
    for c in street.crossings:
        zebra = rng.random() < .75
        for sign in (-1, 1):
            s = c.s + sign * (c.half + 2.4)
            lo, hi = (-inner, 0) if sign < 0 else (0, inner)
            if street.signals:
                _paint(b, street, *sorted((s + sign * 1.9, s + sign * 2.3)),
                       lo, hi)
            if zebra:
                for d in np.arange(-inner + .3, inner - .4, 1.):
                    _paint(b, street, s - 1.4, s + 1.4, d, d + .5)
        for d0, d1 in ((left.half + 4, 60), (-60, -right.half - 4)):
            for d in np.arange(d0, d1, 6.):
                _paint(b, street, c.s - .06, c.s + .06, d, d + 3)
