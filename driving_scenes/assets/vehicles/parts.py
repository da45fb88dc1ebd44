"""Common parts of vehicles: paint, wheels, lamps, windows."""
from typing import Tuple

import numpy as np

from ...materials import Mat
from ...meshes import MeshBuilder

Size = Tuple[float, float, float]
GLASS = (.05, .06, .07)
RUBBER = (.02, .02, .02)
CHROME = (.5, .5, .52)
#: Body colours (linear RGB) and their frequencies.
CAR_COLORS = np.array([[.02, .02, .025], [.65, .65, .65], [.28, .29, .31],
                       [.10, .11, .12], [.03, .07, .22], [.35, .02, .02],
                       [.05, .16, .10], [.40, .30, .16], [.55, .36, .04],
                       [.12, .30, .48], [.22, .10, .05], [.75, .60, .05]])
CAR_WEIGHTS = np.array(
    [.2, .17, .18, .14, .09, .07, .04, .04, .02, .03, .01, .01])


def pick_color(rng: np.random.Generator) -> np.ndarray:
    """A body colour, (3, ), linear RGB, slightly varied."""
    i = rng.choice(len(CAR_COLORS), p=CAR_WEIGHTS)
    return np.clip(CAR_COLORS[i] * rng.uniform(.75, 1.25, 3), .01, .9)


def add_wheels(b: MeshBuilder,
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


def add_lights(b: MeshBuilder,
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


def add_panel(b: MeshBuilder, x0: float, x1: float, y: float, z0: float,
              z1: float, **kwargs) -> None:
    """A rectangle parallel to the xz plane."""
    b.quad([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)], **kwargs)


def add_window_row(b: MeshBuilder,
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
        add_panel(
            b,
            x0 + i * step + gap / 2,
            x0 + (i + 1) * step - gap / 2,
            y,
            z0,
            z1,
            material=Mat.GLASS,
            color=GLASS)
