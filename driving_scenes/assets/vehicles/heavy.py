"""Lorries, buses and trams."""
from typing import Tuple

import numpy as np

from ...labels import LABEL_IDS
from ...materials import Mat
from ...meshes import Mesh, MeshBuilder
from .parts import (GLASS, Size, add_lights, add_panel, add_wheels,
                    add_window_row, pick_color)


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
    _add_cab(b, paint, xf, hw, cab_l, cab_h)
    b.box((-cab_l * .3, 0, .75), (length - .4, width * .8, .25),
          material=Mat.PLAIN,
          color=(.04, .04, .04))
    x1, x0 = xf - cab_l - .15, -xf
    top = max(cab_h, _add_load(b, rng, x0, x1, hw))
    add_wheels(b, (xf - cab_l * .55, x0 + 1.2, x0 + 2.3), hw, .48, .3)
    add_lights(b, length, hw, .75, .85)
    return b.build(), (length, width + .1, top)


def _add_cab(b: MeshBuilder, paint: np.ndarray, xf: float, hw: float,
             cab_l: float, cab_h: float) -> None:
    """The cab of a lorry, whose front is at ``xf``."""
    width = 2 * hw
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
        add_panel(
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


def _add_load(b: MeshBuilder, rng: np.random.Generator, x0: float, x1: float,
              hw: float) -> float:
    """A box, tank, tipper or flat load; returns its height where it counts."""
    kind = rng.choice(4, p=[.6, .13, .14, .13])
    top, width = 0., 2 * hw
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
        top = 2.9
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
    return top


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
            add_window_row(b, -xf + .3, xf - .9, side * (hw + .012), z0, z1,
                           1.5)
            add_panel(
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
        add_panel(
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
        add_panel(
            b,
            -xf + .4,
            xf * .3,
            hw + .025,
            .45,
            1.15,
            material=Mat.POSTER,
            color=pick_color(rng),
            param=(rng.random(), 0, 0, 0))
    add_wheels(b, (xf - 2.6, -xf + 3.2), hw, .48, .3)
    add_lights(b, length, hw, .65, .8)
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
    hw, xf = width / 2, length / 2
    step = length / parts
    for k in range(parts):
        _add_section(b, paint, -xf + (k + .5) * step, step, hw, height,
                     k == parts - 1, k == 0)
    for sign in (-1, 1):
        _add_tram_end(b, sign, sign * (xf - .10), hw)
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


def _add_section(b: MeshBuilder, paint: np.ndarray, xc: float, step: float,
                 hw: float, height: float, front: bool, rear: bool) -> None:
    """One part of a tram around ``xc``; the first and the last are tapered."""
    z0, width, roof = .25, 2 * hw, (.35, .35, .36)
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
        add_window_row(b, xc - step / 2 + (1. if rear else .3),
                       xc + step / 2 - (1. if front else .3), y, 1.35, 2.4,
                       1.25, .1)
        for door in (-.22, .22):
            add_panel(
                b,
                xc + door * step - .55,
                xc + door * step + .55,
                side * (hw + .02),
                .4,
                2.4,
                material=Mat.GLASS,
                color=(.08, .09, .1))
    if not rear:
        b.box((xc - step / 2, 0, 1.75), (.5, width * .86, 2.7),
              material=Mat.PLAIN,
              color=(.04, .04, .04))
    b.box((xc, 0, height + .12), (step * .5, 1.4, .3),
          material=Mat.METAL,
          color=(.3, .3, .3))
    b.box((xc, 0, .3), (2.2, 1.9, .5),
          material=Mat.PLAIN,
          color=(.02, .02, .02))


def _add_tram_end(b: MeshBuilder, sign: int, x: float, hw: float) -> None:
    """Windscreen, sign and lamps at the front (1) or the rear (-1)."""
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
              color=(.8, .8, .7) if sign > 0 else (.45, .01, .01),
              param=(1., 0, 0, 0))
