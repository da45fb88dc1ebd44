"""Buildings on four-cornered footprints."""
from dataclasses import dataclass
from typing import Tuple

import numpy as np

from ..labels import LABEL_IDS
from ..materials import Mat
from ..meshes import Mesh, MeshBuilder

FACADES = np.array([[.45, .40, .32], [.38, .30, .22], [.30, .12, .08],
                    [.50, .48, .44], [.36, .36, .37], [.42, .34, .16],
                    [.30, .33, .36], [.48, .36, .30], [.22, .19, .17],
                    [.34, .38, .30], [.24, .09, .06], [.55, .52, .42]])


@dataclass
class BuildingStyle:
    """Style of a city's buildings.

    Args:
        palette (np.ndarray): (P, 3), wall colours, linear RGB.
        storeys (tuple[int]): Minimum and maximum number of storeys.
        gable (float): Fraction of roofs with two slopes.
        shops (float): Fraction of buildings with shops at street level.
    """
    palette: np.ndarray
    storeys: Tuple[int, int]
    gable: float
    shops: float


def building(rng: np.random.Generator,
             corners: np.ndarray,
             style: BuildingStyle,
             kind: str = 'block') -> Mesh:
    """A building.

    Args:
        rng (np.random.Generator): Source of its looks.
        corners (np.ndarray): (4, 2), footprint in metres, counter-clockwise;
            the first edge faces the street.
        style (BuildingStyle): Style of the city.
        kind (str): ``block``, ``house``, ``hall`` or ``garage``.

    Returns:
        Mesh: In the frame of ``corners``, label ``building``.
    """
    b = MeshBuilder(LABEL_IDS['building'])
    low, high = style.storeys
    storeys = int(rng.integers(low, high + 1))
    storey = rng.uniform(2.9, 3.6)
    ground = 1 if rng.random() < style.shops else 0
    bay = rng.uniform(1.8, 3.4)
    if kind == 'house':
        storeys, ground = int(rng.integers(1, 3)), int(2 * (rng.random() < .2))
    elif kind == 'hall':
        storeys, storey, bay, ground = 1, rng.uniform(5, 8), rng.uniform(4,
                                                                         7), 2
    elif kind == 'garage':
        storeys, storey, ground = 1, 2.7, 2
    height = storeys * storey + .3
    seed = rng.integers(1, 5000)
    color = style.palette[rng.integers(len(style.palette))] * \
        rng.uniform(.75, 1.2, 3)
    c3 = np.asarray(corners, float)
    if rng.random() < .25 and kind == 'block' and storeys > 2:
        height += storey
    for k in range(4):
        p, q = c3[k], c3[(k + 1) % 4]
        length = np.sqrt(((q - p)**2).sum())
        n = max(1, round(length / bay))
        b.quad([(*p, -.3), (*q, -.3), (*q, height), (*p, height)],
               uv=[(0, -.3), (length, -.3), (length, height), (0, height)],
               material=Mat.FACADE,
               color=color,
               param=(length / n, storey, seed, ground if k == 0 else 0))
    roof_color = np.array([[.22, .08, .05], [.10, .10, .11],
                           [.16, .10, .07]])[rng.integers(3)]
    gable = rng.random() < style.gable or kind == 'house'
    if gable and kind != 'hall':
        _gable(b, rng, c3, height, color, roof_color)
    else:
        b.quad([(*p, height) for p in c3],
               material=Mat.GRAVEL,
               color=(.2, .2, .2))
        _cornice(b, c3, height, color * .8)
        if kind == 'block' and rng.random() < .5:
            mid = c3.mean(0)
            b.box((*mid, height + 1.), (3., 3., 2.),
                  material=Mat.PLAIN,
                  color=color * .7)
    e = c3[1] - c3[0]
    length = np.sqrt((e**2).sum())
    e /= length
    out = np.array([e[1], -e[0]])
    if kind == 'block' and storeys > 2 and rng.random() < .35:
        _balconies(b, rng, c3[0], e, out, length, storeys, storey)
    if ground == 1 and rng.random() < .6:
        _awnings(b, rng, c3[0], e, out, length, storey)
    return b.build()


def _cornice(b: MeshBuilder, c: np.ndarray, z: float, color) -> None:
    """A parapet that sticks out a little at the top of the walls."""
    mid = c.mean(0)
    outer = mid + (c - mid) * 1.025
    for k in range(4):
        p, q = outer[k], outer[(k + 1) % 4]
        pi, qi = c[k], c[(k + 1) % 4]
        b.quad([(*p, z - .1), (*q, z - .1), (*q, z + .5), (*p, z + .5)],
               material=Mat.PLAIN,
               color=color)
        b.quad([(*p, z - .1), (*q, z - .1), (*qi, z - .1), (*pi, z - .1)],
               material=Mat.PLAIN,
               color=color)


def _gable(b: MeshBuilder, rng: np.random.Generator, c: np.ndarray, z: float,
           color: np.ndarray, roof: np.ndarray) -> None:
    """Two slopes with the ridge along the street or across it."""
    if rng.random() < .35:
        c = np.roll(c, 1, 0)
    depth = np.sqrt(((c[2] - c[1])**2).sum())
    rise = depth * rng.uniform(.28, .45)
    m0, m1 = (c[0] + c[3]) / 2, (c[1] + c[2]) / 2
    over = .06
    f, r = c.copy(), c.copy()
    f = c + (c - c.mean(0)) * over
    a0, a1 = m0 + (m0 - m1) * over / 2, m1 + (m1 - m0) * over / 2
    slope = np.sqrt(rise**2 + depth**2 / 4)
    length = np.sqrt(((c[1] - c[0])**2).sum())
    zl = z - rise * over
    for p, q, s0, s1 in ((f[0], f[1], a1, a0), (f[2], f[3], a0, a1)):
        b.quad([(*p, zl), (*q, zl), (*s0, z + rise), (*s1, z + rise)],
               uv=[(0, 0), (length, 0), (length, slope), (0, slope)],
               material=Mat.ROOF,
               color=roof,
               param=(rng.random(), 0, 0, 0))
    for p, q, s in ((r[1], r[2], m1), (r[3], r[0], m0)):
        b.add([(*p, z), (*q, z), (*s, z + rise)], [[0, 1, 2]],
              material=Mat.PLAIN,
              color=color)
    if rng.random() < .6:
        t = rng.uniform(.2, .8)
        p = m0 * (1 - t) + m1 * t
        b.box((*p, z + rise + .2), (.6, .6, 1.4),
              material=Mat.BRICK,
              color=(.28, .12, .08))


def _balconies(b: MeshBuilder, rng: np.random.Generator, p0: np.ndarray,
               e: np.ndarray, out: np.ndarray, length: float, storeys: int,
               storey: float) -> None:
    """Balconies in one or two columns above the ground floor."""
    yaw = float(np.arctan2(e[1], e[0]))
    for t in ([.5], [.25, .75])[int(rng.integers(2))]:
        for k in range(1, storeys):
            c = p0 + e * length * t + out * .55
            z = k * storey
            b.box((*c, z), (2.4, 1.1, .14),
                  yaw=yaw,
                  material=Mat.PLAIN,
                  color=(.3, .3, .3))
            c2 = p0 + e * length * t + out * 1.08
            b.box((*c2, z + .5), (2.4, .05, .9),
                  yaw=yaw,
                  material=Mat.METAL,
                  color=(.12, .12, .13))


def _awnings(b: MeshBuilder, rng: np.random.Generator, p0: np.ndarray,
             e: np.ndarray, out: np.ndarray, length: float,
             storey: float) -> None:
    """Striped cloth above the shop windows."""
    color = rng.uniform(.05, .5, 3)
    z = storey * .8
    for t in np.arange(.1, .8, .4):
        a = p0 + e * length * t
        c = p0 + e * length * (t + .3)
        b.quad([(*(a + out * 1.3), z - .6), (*(c + out * 1.3), z - .6),
                (*c, z), (*a, z)],
               uv=[(0, 0), (length * .3, 0), (length * .3, 0), (0, 0)],
               material=Mat.STRIPES,
               color=color,
               param=(.5, 0, 0, 0))
