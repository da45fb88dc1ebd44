"""Trailers, caravans, machines, and the front of the ego vehicle."""
from typing import Tuple

import numpy as np

from ...labels import LABEL_IDS
from ...materials import Mat
from ...meshes import Mesh, MeshBuilder
from .parts import GLASS, Size, add_wheels, add_window_row, pick_color


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
    add_wheels(b, (-.4, ), width / 2, .32)
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
        add_window_row(b, -length / 2 + .6, length / 2 - 1.6,
                       side * (width / 2 + .012), 1.3, 1.9, 1.4, .5)
    b.tube((length / 2 - .9, 0, .5), (length / 2, 0, .5),
           .06,
           material=Mat.METAL,
           color=(.1, .1, .1))
    add_wheels(b, (-.5, ), width / 2, .32)
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
    add_wheels(b, (1.2, -1.2), 1.15, .5, .35)
    mesh = b.build()
    low, high = mesh.bounds()
    middle = float(low[0] + high[0]) / 2
    return mesh.moved((-middle, 0, 0)), (float(high[0] - low[0]), 2.4, 3.8)


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
