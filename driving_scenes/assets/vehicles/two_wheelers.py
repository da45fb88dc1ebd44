"""Bicycles and motorcycles, without their riders."""
from typing import Tuple

import numpy as np

from ...labels import LABEL_IDS
from ...materials import Mat
from ...meshes import Mesh, MeshBuilder
from .parts import CHROME, RUBBER, Size, pick_color


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
