"""Parametric vehicles.

Frame of an object: origin on the ground under its centre, x front, y left,
z up, metres. Every function returns the mesh and the size (l, w, h).
"""
from typing import Tuple

import numpy as np

from ..labels import LABEL_IDS
from ..materials import Mat
from ..meshes import Mesh, MeshBuilder

Size = Tuple[float, float, float]

GLASS = (.05, .06, .07)
RUBBER = (.02, .02, .02)
CHROME = (.5, .5, .52)

#: Body colours (linear RGB) and how frequent they are.
CAR_COLORS = np.array([[.02, .02, .025], [.65, .65, .65], [.28, .29, .31],
                       [.10, .11, .12], [.03, .07, .22], [.35, .02, .02],
                       [.05, .16, .10], [.40, .30, .16], [.55, .36, .04],
                       [.12, .30, .48], [.22, .10, .05], [.75, .60, .05]])
CAR_WEIGHTS = np.array(
    [.2, .17, .18, .14, .09, .07, .04, .04, .02, .03, .01, .01])

# x, z_bottom, z_belt, half width, z_top, half width at the top; as shares of
# length, height, width. Kind of the segment to the next station: p(aint),
# w(indscreen), g(lass sides, painted roof).
_BODIES = {
    'sedan': ([(.5, .25, .40, .80, .42, .74, 'p'),
               (.46, .18, .50, .97, .53, .86, 'p'),
               (.22, .15, .60, 1., .65, .86, 'w'),
               (.07, .15, .62, 1., .97, .66, 'g'),
               (-.08, .15, .62, 1., 1., .68, 'p'),
               (-.10, .15, .62, 1., 1., .68, 'g'),
               (-.24, .15, .63, 1., .97, .66, 'w'),
               (-.39, .15, .65, .99, .69, .84, 'p'),
               (-.48, .20, .62, .95, .66, .82, 'p'),
               (-.5, .26, .50, .88, .52, .80, 'p')]),
    'hatch': ([(.5, .25, .38, .80, .40, .74, 'p'),
               (.46, .18, .48, .97, .51, .86, 'p'),
               (.26, .15, .58, 1., .62, .86, 'w'),
               (.08, .15, .60, 1., .97, .68, 'g'),
               (-.12, .15, .61, 1., 1., .70, 'p'),
               (-.15, .15, .61, 1., 1., .70, 'g'),
               (-.36, .15, .63, 1., .96, .68, 'w'),
               (-.47, .18, .62, .97, .64, .84, 'p'),
               (-.5, .25, .45, .90, .47, .82, 'p')]),
    'wagon': ([(.5, .25, .40, .80, .42, .74, 'p'),
               (.46, .18, .50, .97, .53, .86, 'p'),
               (.23, .15, .59, 1., .64, .86, 'w'),
               (.09, .15, .61, 1., .97, .68, 'g'),
               (-.06, .15, .61, 1., 1., .70, 'p'),
               (-.08, .15, .61, 1., 1., .70, 'g'),
               (-.26, .15, .62, 1., 1., .70, 'p'),
               (-.28, .15, .62, 1., 1., .70, 'g'),
               (-.42, .15, .63, 1., .96, .68, 'w'),
               (-.49, .20, .62, .96, .64, .86, 'p'),
               (-.5, .26, .48, .90, .50, .84, 'p')]),
    'suv': ([(.5, .28, .48, .84, .50, .80, 'p'),
             (.47, .20, .56, .98, .59, .90, 'p'),
             (.24, .17, .62, 1., .66, .90, 'w'),
             (.11, .17, .63, 1., .97, .74, 'g'),
             (-.06, .17, .63, 1., 1., .76, 'p'),
             (-.09, .17, .63, 1., 1., .76, 'g'),
             (-.28, .17, .63, 1., 1., .76, 'p'),
             (-.31, .17, .63, 1., 1., .76, 'g'),
             (-.43, .17, .64, 1., .97, .74, 'w'),
             (-.49, .22, .62, .97, .64, .88, 'p'),
             (-.5, .28, .50, .92, .52, .86, 'p')]),
    'van': ([(.5, .20, .36, .86, .38, .82, 'p'),
             (.47, .14, .44, .98, .48, .92, 'p'),
             (.38, .13, .52, 1., .56, .92, 'w'),
             (.24, .13, .53, 1., .96, .84, 'g'),
             (.08, .13, .53, 1., 1., .88, 'p'),
             (-.48, .14, .53, 1., 1., .88, 'p'),
             (-.5, .18, .50, .98, .97, .86, 'p')]),
    'minibus': ([(.5, .20, .36, .86, .38, .82, 'p'),
                 (.47, .14, .44, .98, .48, .92, 'p'),
                 (.38, .13, .52, 1., .56, .92, 'w'),
                 (.24, .13, .53, 1., .96, .84, 'g'),
                 (.08, .13, .53, 1., 1., .88, 'p'),
                 (.05, .13, .53, 1., 1., .88, 'g'),
                 (-.20, .13, .53, 1., 1., .88, 'p'),
                 (-.23, .13, .53, 1., 1., .88, 'g'),
                 (-.45, .14, .53, 1., 1., .88, 'w'),
                 (-.5, .18, .50, .98, .97, .86, 'p')]),
}
_SIZES = {
    'sedan': (4.6, 1.80, 1.45),
    'hatch': (3.9, 1.72, 1.48),
    'wagon': (4.7, 1.82, 1.50),
    'suv': (4.6, 1.90, 1.72),
    'van': (5.3, 1.98, 2.25),
    'minibus': (4.9, 1.92, 1.95),
}
_KINDS = ('sedan', 'hatch', 'wagon', 'suv', 'van', 'minibus')
_KIND_WEIGHTS = (.24, .28, .18, .18, .05, .07)


def pick_color(rng: np.random.Generator) -> np.ndarray:
    """A body colour, (3, ), linear RGB, slightly varied."""
    i = rng.choice(len(CAR_COLORS), p=CAR_WEIGHTS)
    return np.clip(CAR_COLORS[i] * rng.uniform(.75, 1.25, 3), .01, .9)


def _wheels(b: MeshBuilder,
            xs,
            half_width: float,
            radius: float,
            width: float = .22) -> None:
    """Wheels and dark arches at both sides of each position ``xs``."""
    for x in xs:
        for side in (-1, 1):
            y = side * (half_width - width)
            b.tube((x, side * (half_width - .35), radius + .03),
                   (x, side * (half_width + .005), radius + .03),
                   radius * 1.18,
                   sides=10,
                   material=Mat.PLAIN,
                   color=(.012, .012, .012))
            b.tube((x, y, radius), (x, side * (half_width + .02), radius),
                   radius,
                   sides=10,
                   material=Mat.PLAIN,
                   color=RUBBER)
            b.tube((x, y, radius), (x, side * (half_width + .03), radius),
                   radius * .6,
                   sides=8,
                   material=Mat.METAL,
                   color=CHROME)


def _lights(b: MeshBuilder,
            length: float,
            half_width: float,
            z_front: float,
            z_rear: float,
            brake: float = .6) -> None:
    """Head lamps, tail lamps and licence plates."""
    for side in (-1, 1):
        y = side * half_width * .72
        b.box((length / 2 - .06, y, z_front), (.14, half_width * .36, .13),
              material=Mat.LAMP,
              color=(.8, .8, .75),
              param=(1.6, 0, 0, 0))
        b.box((-length / 2 + .05, y * 1.08, z_rear),
              (.14, half_width * .26, .17),
              material=Mat.LAMP,
              color=(.45, .01, .01),
              param=(brake, 0, 0, 0))
    for x in (length / 2 - .0, -length / 2 + .0):
        b.box((x, 0, .45), (.05, .52, .11),
              material=Mat.PLAIN,
              color=(.75, .75, .72))


def car(rng: np.random.Generator, kind: str = '') -> Tuple[Mesh, Size]:
    """A passenger car or van.

    Args:
        rng (np.random.Generator): Source of its looks.
        kind (str): ``sedan``, ``hatch``, ``wagon``, ``suv``, ``van``,
            ``minibus``; random when empty.

    Returns:
        tuple: Mesh, and (l, w, h) in metres.
    """
    kind = kind or rng.choice(_KINDS, p=_KIND_WEIGHTS)
    length, width, height = np.array(_SIZES[kind]) * rng.uniform(.95, 1.06, 3)
    paint = pick_color(rng)
    b = MeshBuilder(LABEL_IDS['car'])
    rows = _BODIES[kind]
    st = np.array([r[:6] for r in rows], float)
    x, w, wt = st[:, 0] * length, st[:, 3] * width / 2, \
        st[:, 3] * st[:, 5] * width / 2
    zb, zs, zt = (st[:, i] * height for i in (1, 2, 4))
    sec = np.stack([
        np.stack([x, -w * .95, zb], 1),
        np.stack([x, -w, (zb + zs) / 2], 1),
        np.stack([x, -w * .97, zs], 1),
        np.stack([x, -wt, zt], 1),
        np.stack([x, wt, zt], 1),
        np.stack([x, w * .97, zs], 1),
        np.stack([x, w, (zb + zs) / 2], 1),
        np.stack([x, w * .95, zb], 1),
    ], 1)
    mats = np.full((len(rows) - 1, 8), Mat.CARPAINT)
    cols = np.broadcast_to(paint, (len(rows) - 1, 8, 3)).copy()
    mats[:, 7], cols[:, 7] = Mat.PLAIN, (.02, .02, .02)
    for i, row in enumerate(rows[:-1]):
        if row[6] == 'g':
            mats[i, [2, 4]], cols[i, [2, 4]] = Mat.GLASS, GLASS
        elif row[6] == 'w':
            mats[i, 3], cols[i, 3] = Mat.GLASS, GLASS
    b.loft(sec, mats, cols)
    r = .31 if height < 1.6 else .36
    _wheels(b, (length * .31, -length * .29), width / 2, r)
    _lights(b, length, width / 2, .42 * height, .52 * height)
    if kind in ('wagon', 'suv') and rng.random() < .5:
        for side in (-1, 1):
            b.box((-.12 * length, side * width * .32, height * 1.01),
                  (length * .42, .04, .05),
                  material=Mat.METAL,
                  color=(.2, .2, .2))
    if rng.random() < .04:
        b.box((-.02 * length, 0, height + .08), (.3, .5, .14),
              material=Mat.LAMP,
              color=(.8, .6, .05),
              param=(.5, 0, 0, 0))
    for side in (-1, 1):
        b.box((length * .17, side * (width / 2 + .08), height * .66),
              (.12, .16, .11),
              material=Mat.CARPAINT,
              color=paint)
    return b.build(), (length, width, height)


def _panel(b: MeshBuilder, x0: float, x1: float, y: float, z0: float,
           z1: float, **kwargs) -> None:
    """A rectangle parallel to the xz plane."""
    b.quad([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)], **kwargs)


def _window_row(b: MeshBuilder,
                x0: float,
                x1: float,
                y: float,
                z0: float,
                z1: float,
                pane: float,
                gap: float = .12) -> None:
    """A row of panes along x."""
    n = max(1, int(round((x1 - x0) / pane)))
    step = (x1 - x0) / n
    for i in range(n):
        _panel(
            b,
            x0 + i * step + gap / 2,
            x0 + (i + 1) * step - gap / 2,
            y,
            z0,
            z1,
            material=Mat.GLASS,
            color=GLASS)


def truck(rng: np.random.Generator) -> Tuple[Mesh, Size]:
    """A lorry: cab with a box, tank, tipper or flat load.

    Returns:
        tuple: Mesh, and (l, w, h) in metres.
    """
    b = MeshBuilder(LABEL_IDS['truck'])
    length = rng.uniform(6.2, 10.5)
    width = rng.uniform(2.2, 2.5)
    cab_h, cab_l = rng.uniform(2.5, 3.1), rng.uniform(1.7, 2.2)
    paint = pick_color(rng)
    hw, xf = width / 2, length / 2
    b.box((xf - cab_l / 2, 0, .5 + (cab_h - .5) / 2),
          (cab_l, width, cab_h - .5),
          top=(.84, .94),
          shift=-.12,
          material=Mat.CARPAINT,
          color=paint)
    zw0, zw1 = .5 + (cab_h - .5) * .52, .5 + (cab_h - .5) * .9
    b.quad([(xf - .10, -hw * .9, zw0), (xf - .10, hw * .9, zw0),
            (xf - .24, hw * .84, zw1), (xf - .24, -hw * .84, zw1)],
           material=Mat.GLASS,
           color=GLASS)
    for side in (-1, 1):
        _panel(
            b,
            xf - cab_l * .62,
            xf - .35,
            side * (hw * .985 + .012),
            zw0,
            zw1 - .1,
            material=Mat.GLASS,
            color=GLASS)
        b.box((xf - .15, side * (hw + .12), zw0 + .3), (.1, .14, .5),
              material=Mat.PLAIN,
              color=(.03, .03, .03))
    b.box((xf, 0, .62), (.1, width * .96, .3),
          material=Mat.PLAIN,
          color=(.08, .08, .08))
    b.box((xf + .01, 0, 1.05), (.06, width * .6, .45),
          material=Mat.PLAIN,
          color=(.03, .03, .03))
    b.box((-cab_l * .3, 0, .75), (length - .4, width * .8, .25),
          material=Mat.PLAIN,
          color=(.04, .04, .04))
    x1, x0 = xf - cab_l - .15, -xf
    kind = rng.choice(4, p=[.6, .13, .14, .13])
    top = cab_h
    if kind == 0:
        top = rng.uniform(2.9, 3.7)
        color = np.array([.6, .6, .58]) if rng.random() < .45 else \
            pick_color(rng)
        b.box(((x0 + x1) / 2, 0, (top + .95) / 2), (x1 - x0, width, top - .95),
              material=Mat.CONTAINER,
              color=color,
              param=(rng.random(), rng.choice([0, .25, .4]), 0, 0))
    elif kind == 1:
        color = rng.uniform(.45, .7) * np.ones(3)
        b.tube((x0, 0, 1.9), (x1, 0, 1.9),
               1.0,
               sides=12,
               material=Mat.METAL,
               color=color)
        top = max(top, 2.9)
    elif kind == 2:
        color = pick_color(rng)
        b.box(((x0 + x1) / 2, 0, 1.6), (x1 - x0, width, 1.2),
              top=(1.05, 1.),
              material=Mat.METAL,
              color=color)
        b.ellipsoid(((x0 + x1) / 2, 0, 2.1), ((x1 - x0) * .45, hw * .9, .55),
                    bump=.15,
                    rng=rng,
                    material=Mat.GRAVEL,
                    color=(.18, .14, .1))
    else:
        b.box(((x0 + x1) / 2, 0, 1.0), (x1 - x0, width, .2),
              material=Mat.WOOD,
              color=(.2, .13, .07))
        for i in range(3):
            x = x0 + (i + .5) * (x1 - x0) / 3
            b.box((x, 0, 1.6), (1.4, width * .8, rng.uniform(.6, 1.2)),
                  material=Mat.WOOD,
                  color=pick_color(rng))
    _wheels(b, (xf - cab_l * .55, x0 + 1.2, x0 + 2.3), hw, .48, .3)
    _lights(b, length, hw, .75, .85)
    return b.build(), (length, width + .1, top)


def bus(rng: np.random.Generator) -> Tuple[Mesh, Size]:
    """A city bus or coach, single or double decked.

    Returns:
        tuple: Mesh, and (l, w, h) in metres.
    """
    b = MeshBuilder(LABEL_IDS['bus'])
    length, width = rng.uniform(9.5, 12.5), 2.52
    double = rng.random() < .12
    height = 4.2 if double else rng.uniform(2.95, 3.3)
    paint = rng.choice([[.5, .38, .03], [.45, .02, .02], [.6, .6, .58],
                        [.03, .12, .35], [.05, .28, .12], [.55, .22, .02]])
    second = paint if rng.random() < .5 else pick_color(rng)
    hw, xf = width / 2, length / 2
    b.box((0, 0, .3 + .45), (length, width, .9),
          material=Mat.CARPAINT,
          color=second)
    b.box((0, 0, (1.2 + height) / 2), (length, width, height - 1.2),
          top=(.985, .94),
          material=Mat.CARPAINT,
          color=paint)
    decks = [(1.25, 2.35)] + ([(2.75, 3.65)] if double else [])
    for z0, z1 in decks:
        for side in (-1, 1):
            _window_row(b, -xf + .3, xf - .9, side * (hw + .012), z0, z1, 1.5)
            _panel(
                b,
                xf - .75,
                xf - .08,
                side * (hw + .012),
                z0 - .1,
                z1,
                material=Mat.GLASS,
                color=GLASS)
        b.quad([(xf + .012, -hw * .92, z0 - .15),
                (xf + .012, hw * .92, z0 - .15),
                (xf + .006, hw * .9, z1 + .05),
                (xf + .006, -hw * .9, z1 + .05)],
               material=Mat.GLASS,
               color=GLASS)
        b.quad([(-xf - .012, -hw * .75, z0 + .3),
                (-xf - .012, hw * .75, z0 + .3), (-xf - .006, hw * .75, z1),
                (-xf - .006, -hw * .75, z1)],
               material=Mat.GLASS,
               color=GLASS)
    for x in (xf - 1.6, -.4, -xf + 2.4):
        _panel(
            b,
            x - .6,
            x + .6,
            -hw - .02,
            .4,
            2.35,
            material=Mat.GLASS,
            color=(.07, .08, .09))
    b.box((xf + .02, 0, height - .3), (.05, width * .7, .3),
          material=Mat.LAMP,
          color=(.5, .28, .02),
          param=(.8, 0, 0, 0))
    b.box((-1, 0, height + .1), (2.5, 1.6, .22),
          material=Mat.METAL,
          color=(.5, .5, .5))
    if rng.random() < .5:
        _panel(
            b,
            -xf + .4,
            xf * .3,
            hw + .025,
            .45,
            1.15,
            material=Mat.POSTER,
            color=pick_color(rng),
            param=(rng.random(), 0, 0, 0))
    _wheels(b, (xf - 2.6, -xf + 3.2), hw, .48, .3)
    _lights(b, length, hw, .65, .8)
    return b.build(), (length, width, height)


def train(rng: np.random.Generator) -> Tuple[Mesh, Size]:
    """A tram of two or three parts.

    Returns:
        tuple: Mesh, and (l, w, h) in metres.
    """
    b = MeshBuilder(LABEL_IDS['train'])
    parts = int(rng.integers(2, 4))
    width, height = 2.4, rng.uniform(3.2, 3.5)
    length = parts * rng.uniform(8.5, 9.5)
    paint = rng.choice([[.5, .38, .03], [.4, .02, .02], [.55, .55, .53],
                        [.04, .2, .4], [.06, .25, .1]])
    roof = (.35, .35, .36)
    hw, xf, z0 = width / 2, length / 2, .25
    step = length / parts
    for k in range(parts):
        xc = -xf + (k + .5) * step
        front, rear = k == parts - 1, k == 0
        n = 6
        xs = np.linspace(xc - step / 2 + .12, xc + step / 2 - .12, n)
        w = np.full(n, hw)
        zt = np.full(n, height)
        if front:
            xs[-2] = xs[-1] - .8
            w[-1], zt[-1] = hw * .78, height * .9
        if rear:
            xs[1] = xs[0] + .8
            w[0], zt[0] = hw * .78, height * .9
        sec = np.stack([
            np.stack([xs, -w, np.full(n, z0)], 1),
            np.stack([xs, -w, np.full(n, 1.3)], 1),
            np.stack([xs, -w, np.full(n, 2.5)], 1),
            np.stack([xs, -w * .8, zt], 1),
            np.stack([xs, w * .8, zt], 1),
            np.stack([xs, w, np.full(n, 2.5)], 1),
            np.stack([xs, w, np.full(n, 1.3)], 1),
            np.stack([xs, w, np.full(n, z0)], 1)
        ], 1)
        mats = np.full((n - 1, 8), Mat.CARPAINT)
        cols = np.broadcast_to(paint, (n - 1, 8, 3)).copy()
        cols[:, [2, 3, 4]] = roof
        b.loft(sec, mats, cols)
        for side in (-1, 1):
            y = side * (hw + .012)
            _window_row(b, xc - step / 2 + (1. if rear else .3),
                        xc + step / 2 - (1. if front else .3), y, 1.35, 2.4,
                        1.25, .1)
            for door in (-.22, .22):
                _panel(
                    b,
                    xc + door * step - .55,
                    xc + door * step + .55,
                    side * (hw + .02),
                    .4,
                    2.4,
                    material=Mat.GLASS,
                    color=(.08, .09, .1))
        if k:
            b.box((xc - step / 2, 0, 1.75), (.5, width * .86, 2.7),
                  material=Mat.PLAIN,
                  color=(.04, .04, .04))
        b.box((xc, 0, height + .12), (step * .5, 1.4, .3),
              material=Mat.METAL,
              color=(.3, .3, .3))
        b.box((xc, 0, .3), (2.2, 1.9, .5),
              material=Mat.PLAIN,
              color=(.02, .02, .02))
    for sgn in (-1, 1):
        x = sgn * (xf - .10)
        b.quad([(x, -hw * .74, 1.35), (x, hw * .74, 1.35), (x, hw * .68, 2.65),
                (x, -hw * .68, 2.65)],
               material=Mat.GLASS,
               color=GLASS)
        b.box((x, 0, 2.85), (.1, 1.2, .26),
              material=Mat.LAMP,
              color=(.5, .28, .02),
              param=(.8, 0, 0, 0))
        for side in (-1, 1):
            b.box((x, side * .7, .85), (.1, .3, .2),
                  material=Mat.LAMP,
                  color=(.8, .8, .7) if sgn > 0 else (.45, .01, .01),
                  param=(1., 0, 0, 0))
    b.tube((0, 0, height + .2), (.9, 0, height + .8),
           .04,
           sides=4,
           material=Mat.METAL,
           color=(.1, .1, .1))
    b.tube((.9, 0, height + .8), (0, 0, height + 1.3),
           .04,
           sides=4,
           material=Mat.METAL,
           color=(.1, .1, .1))
    return b.build(), (length, width, height)


def trailer(rng: np.random.Generator) -> Tuple[Mesh, Size]:
    """A small parked trailer (label ``trailer``).

    Returns:
        tuple: Mesh, and (l, w, h) in metres.
    """
    b = MeshBuilder(LABEL_IDS['trailer'])
    length, width, height = rng.uniform(2.6, 4.), 1.8, rng.uniform(1.2, 2.2)
    b.box((-.4, 0, (.5 + height) / 2), (length - .8, width, height - .5),
          material=Mat.CONTAINER,
          color=pick_color(rng),
          param=(rng.random(), 0, 0, 0))
    b.tube((length / 2 - .8, 0, .5), (length / 2, 0, .5),
           .06,
           material=Mat.METAL,
           color=(.1, .1, .1))
    _wheels(b, (-.4, ), width / 2, .32)
    return b.build(), (length, width, height)


def caravan(rng: np.random.Generator) -> Tuple[Mesh, Size]:
    """A parked caravan (label ``caravan``).

    Returns:
        tuple: Mesh, and (l, w, h) in metres.
    """
    b = MeshBuilder(LABEL_IDS['caravan'])
    length, width, height = rng.uniform(5., 6.5), 2.2, 2.55
    b.box((-.4, 0, (.4 + height) / 2), (length - 1., width, height - .4),
          top=(.9, .96),
          material=Mat.CARPAINT,
          color=(.6, .6, .56))
    for side in (-1, 1):
        _window_row(b, -length / 2 + .6, length / 2 - 1.6,
                    side * (width / 2 + .012), 1.3, 1.9, 1.4, .5)
    b.tube((length / 2 - .9, 0, .5), (length / 2, 0, .5),
           .06,
           material=Mat.METAL,
           color=(.1, .1, .1))
    _wheels(b, (-.5, ), width / 2, .32)
    return b.build(), (length, width, height)


def construction(rng: np.random.Generator) -> Tuple[Mesh, Size]:
    """A wheeled excavator (label ``truck``).

    Returns:
        tuple: Mesh, and (l, w, h) in metres.
    """
    b = MeshBuilder(LABEL_IDS['truck'])
    yellow = (.6, .36, .02)
    b.box((0, 0, .95), (3.2, 2.1, .5),
          material=Mat.PLAIN,
          color=(.05, .05, .05))
    b.box((-.5, 0, 1.7), (2.4, 2.2, 1.), material=Mat.CARPAINT, color=yellow)
    b.box((.6, .5, 2.3), (1.3, 1., 1.5),
          top=(.85, .9),
          material=Mat.GLASS,
          color=GLASS)
    b.box((.6, .5, 3.08), (1.2, 1., .1), material=Mat.CARPAINT, color=yellow)
    b.tube((.7, -.4, 1.8), (2.6, -.4, 3.6),
           .2,
           sides=4,
           material=Mat.CARPAINT,
           color=yellow)
    b.tube((2.6, -.4, 3.6), (3.5, -.4, 1.6),
           .16,
           sides=4,
           material=Mat.CARPAINT,
           color=yellow)
    b.box((3.3, -.4, 1.2), (.7, .9, .8),
          top=(.6, 1.),
          material=Mat.METAL,
          color=(.12, .11, .1))
    _wheels(b, (1.2, -1.2), 1.15, .5, .35)
    mesh = b.build()
    low, high = mesh.bounds()
    middle = float(low[0] + high[0]) / 2
    return mesh.moved((-middle, 0, 0)), (float(high[0] - low[0]), 2.4, 3.8)


def _thin_wheel(b: MeshBuilder, x: float, radius: float, width: float) -> None:
    """An open wheel in the xz plane: rim of tubes, a few spokes."""
    n = 10
    a = np.arange(n + 1) * 2 * np.pi / n
    px, pz = x + radius * np.cos(a), radius + radius * np.sin(a)
    for i in range(n):
        b.tube((px[i], 0, pz[i]), (px[i + 1], 0, pz[i + 1]),
               width,
               sides=4,
               caps=False,
               material=Mat.PLAIN,
               color=RUBBER)
    for i in range(0, n, 2):
        b.tube((x, 0, radius), (px[i], 0, pz[i]),
               .012,
               sides=3,
               caps=False,
               material=Mat.METAL,
               color=(.4, .4, .4))


def bicycle(rng: np.random.Generator) -> Tuple[Mesh, Size]:
    """A bicycle without its rider.

    Returns:
        tuple: Mesh, and (l, w, h) in metres.
    """
    b = MeshBuilder(LABEL_IDS['bicycle'])
    color = pick_color(rng)
    r = .34
    _thin_wheel(b, .53, r, .035)
    _thin_wheel(b, -.53, r, .035)
    saddle, bar, crank = (-.2, 0, .95), (.42, 0, 1.0), (-.05, 0, .32)
    neck = (.36, 0, .85)
    for p, q in ((saddle, crank), (crank, neck), ((-.18, 0, .78), neck),
                 (crank, (-.53, 0, r)), ((-.18, 0, .78),
                                         (-.53, 0, r)), (bar, (.53, 0, r))):
        b.tube(
            p, q, .03, sides=4, caps=False, material=Mat.CARPAINT, color=color)
    b.tube((.42, -.28, 1.02), (.42, .28, 1.02),
           .025,
           sides=4,
           material=Mat.PLAIN,
           color=(.03, .03, .03))
    b.box((-.22, 0, .98), (.26, .14, .07),
          material=Mat.PLAIN,
          color=(.02, .02, .02))
    if rng.random() < .4:
        b.box((.62, 0, .85), (.3, .34, .26),
              material=Mat.WOOD,
              color=(.12, .08, .04))
    return b.build(), (1.75, .6, 1.1)


def motorcycle(rng: np.random.Generator) -> Tuple[Mesh, Size]:
    """A motorcycle or scooter without its rider.

    Returns:
        tuple: Mesh, and (l, w, h) in metres.
    """
    b = MeshBuilder(LABEL_IDS['motorcycle'])
    color = pick_color(rng)
    scooter = rng.random() < .4
    r = .24 if scooter else .31
    x = .62 if scooter else .72
    for s in (-1, 1):
        b.tube((s * x, -.08, r), (s * x, .08, r),
               r,
               sides=10,
               material=Mat.PLAIN,
               color=RUBBER)
        b.tube((s * x, -.09, r), (s * x, .09, r),
               r * .55,
               sides=8,
               material=Mat.METAL,
               color=(.3, .3, .3))
    if scooter:
        b.box((-.35, 0, .55), (.8, .36, .45),
              top=(.9, .7),
              material=Mat.CARPAINT,
              color=color)
        b.box((.1, 0, .3), (.7, .34, .12), material=Mat.CARPAINT, color=color)
        b.box((.48, 0, .6), (.14, .42, .75),
              top=(.8, .8),
              shift=-.12,
              material=Mat.CARPAINT,
              color=color)
        b.box((-.75, 0, .95), (.36, .4, .34),
              material=Mat.PLAIN,
              color=(.04, .04, .04))
    else:
        b.box((.05, 0, .5), (.6, .34, .42),
              material=Mat.METAL,
              color=(.12, .12, .12))
        b.box((.15, 0, .85), (.6, .32, .28),
              top=(.8, .7),
              material=Mat.CARPAINT,
              color=color)
        b.box((-.5, 0, .85), (.6, .28, .14),
              material=Mat.PLAIN,
              color=(.02, .02, .02))
        b.box((.6, 0, .9), (.3, .42, .42),
              top=(.5, .7),
              shift=-.1,
              material=Mat.CARPAINT,
              color=color)
        b.tube((-.2, -.2, .35), (-.9, -.2, .45),
               .06,
               material=Mat.METAL,
               color=CHROME)
    b.tube((x, 0, r), (x - .22, 0, 1.0),
           .05,
           sides=5,
           material=Mat.METAL,
           color=CHROME)
    b.tube((x - .24, -.36, 1.05), (x - .24, .36, 1.05),
           .03,
           sides=5,
           material=Mat.PLAIN,
           color=(.03, .03, .03))
    b.box((x - .06, 0, .85), (.12, .2, .16),
          material=Mat.LAMP,
          color=(.8, .8, .75),
          param=(1.4, 0, 0, 0))
    b.box((-x - .25, 0, .72), (.08, .2, .1),
          material=Mat.LAMP,
          color=(.45, .01, .01),
          param=(.6, 0, 0, 0))
    return b.build(), (2 * x + 2 * r, .75, 1.15)


def ego_hood(rng: np.random.Generator) -> Mesh:
    """Front of the ego vehicle as its camera sees it.

    Returns:
        Mesh: In the frame of the ego vehicle, label ``ego vehicle``.
    """
    b = MeshBuilder(LABEL_IDS['ego vehicle'])
    y = np.linspace(-.95, .95, 9)
    x = np.array([.6, 1.3, 2.0, 2.25])
    z = np.array([1.02, .96, .86, .6])
    sec = np.stack([
        np.stack([np.full(9, xi), y, zi - .09 * (y / .95)**2], 1)
        for xi, zi in zip(x, z)
    ])
    n = len(x)
    paint = pick_color(rng) * .6
    b.loft(
        sec,
        np.full((n - 1, 9), Mat.CARPAINT),
        np.broadcast_to(paint, (n - 1, 9, 3)),
        caps=False)
    return b.build()
