"""Street furniture: poles, lights, signs, fences, bins, stops.

The origin is on the ground. The front, which drivers see, faces -x, so that
an object placed with the heading of a lane faces its traffic.
"""
from typing import Tuple

import numpy as np

from ..labels import LABEL_IDS
from ..materials import Mat
from ..meshes import Mesh, MeshBuilder

POLE = LABEL_IDS['pole']
SIGN = LABEL_IDS['traffic sign']
LIGHT = LABEL_IDS['traffic light']
STATIC = LABEL_IDS['static']
DYNAMIC = LABEL_IDS['dynamic']
FENCE = LABEL_IDS['fence']
GREY = (.22, .23, .24)


def lamp_post(rng: np.random.Generator, reach: float = 1.6) -> Mesh:
    """A street lamp whose arm reaches along +y.

    Args:
        rng (np.random.Generator): Source of its looks.
        reach (float): Length of the arm, metres. Defaults to 1.6.
    """
    b = MeshBuilder(POLE)
    h = rng.uniform(5., 8.)
    color = np.array(GREY) * rng.uniform(.5, 1.5)
    b.tube((0, 0, -.1), (0, 0, h),
           .10,
           .065,
           sides=7,
           material=Mat.METAL,
           color=color)
    b.tube((0, 0, h - .1), (0, reach, h + .25),
           .05,
           sides=5,
           material=Mat.METAL,
           color=color)
    b.box((0, reach, h + .22), (.28, .7, .12), material=Mat.METAL, color=color)
    b.box((0, reach, h + .15), (.2, .5, .05),
          material=Mat.LAMP,
          color=(.9, .75, .5),
          param=(1.5, 0, 0, 0))
    return b.build()


def pole(rng: np.random.Generator, height: float = 7.) -> Mesh:
    """A bare pole of wood or steel."""
    b = MeshBuilder(POLE)
    wood = rng.random() < .4
    b.tube((0, 0, -.1), (0, 0, height),
           .13,
           .09,
           sides=7,
           material=Mat.BARK if wood else Mat.METAL,
           color=(.12, .08, .05) if wood else GREY)
    if wood:
        b.box((0, 0, height - .4), (.1, 1.6, .1),
              material=Mat.BARK,
              color=(.12, .08, .05))
    return b.build()


def bollard(rng: np.random.Generator) -> Mesh:
    """A bollard (label ``pole``)."""
    b = MeshBuilder(POLE)
    b.tube((0, 0, -.1), (0, 0, rng.uniform(.8, 1.05)),
           .07,
           .06,
           sides=7,
           material=Mat.METAL,
           color=(.3, .06, .04) if rng.random() < .3 else (.1, .1, .1))
    return b.build()


def _light_head(b: MeshBuilder, x: float, y: float, z: float,
                state: int) -> None:
    """Three lamps in a housing facing -x; ``state`` 0 red to 2 green."""
    b.label = LIGHT
    b.box((x, y, z), (.26, .36, 1.0),
          material=Mat.PLAIN,
          color=(.015, .018, .015))
    colors = [(.9, .02, .02), (.9, .45, .02), (.02, .8, .25)]
    for i in range(3):
        on = i == state
        zc = z + .31 - .31 * i
        color = np.array(colors[i]) * (1. if on else .12)
        b.tube((x - .12, y, zc), (x - .16, y, zc),
               .12,
               sides=8,
               material=Mat.LAMP,
               color=color,
               param=(3. if on else 0., 0, 0, 0))
        b.box((x - .2, y, zc + .13), (.14, .26, .03),
              material=Mat.PLAIN,
              color=(.015, .018, .015))
    b.label = POLE


def traffic_light(rng: np.random.Generator,
                  state: int,
                  reach: float = 0.) -> Mesh:
    """A traffic light beside the road, perhaps with a mast over it.

    Args:
        rng (np.random.Generator): Source of its looks.
        state (int): 0 red, 1 amber, 2 green.
        reach (float): Length of the mast along +y, metres. Defaults to 0.
    """
    b = MeshBuilder(POLE)
    h = 3.3 if not reach else 5.6
    b.tube((0, 0, -.1), (0, 0, h),
           .085,
           .07,
           sides=7,
           material=Mat.METAL,
           color=GREY)
    _light_head(b, -.12, 0, 2.75, state)
    if reach:
        b.tube((0, 0, h - .1), (0, reach, h + .1),
               .07,
               sides=6,
               material=Mat.METAL,
               color=GREY)
        _light_head(b, -.12, reach - .2, h - .35, state)
    if rng.random() < .5:
        b.label = LIGHT
        b.box((.0, -.22, 2.2), (.2, .24, .5),
              material=Mat.PLAIN,
              color=(.02, .02, .02))
    return b.build()


def _plate(b: MeshBuilder,
           z: float,
           w: float,
           h: float,
           shape: str,
           style: int,
           seed: float,
           y: float = 0.,
           x: float = -.06) -> None:
    """A sign plate facing -x, with its grey back."""
    if shape == 'circle':
        a = np.arange(12) * np.pi / 6
        ring = np.stack([np.cos(a), np.sin(a)], 1)
    elif shape == 'triangle':
        ring = np.array([[0, 1.], [-.95, -.7], [.95, -.7]])
    elif shape == 'down':
        ring = np.array([[0, -1.], [.95, .7], [-.95, .7]])
    elif shape == 'octagon':
        a = np.arange(8) * np.pi / 4 + np.pi / 8
        ring = np.stack([np.cos(a), np.sin(a)], 1)
    elif shape == 'diamond':
        ring = np.array([[1., 0], [0, 1], [-1, 0], [0, -1]])
    else:
        ring = np.array([[1., 1], [-1, 1], [-1, -1], [1, -1]])
    n = len(ring)
    v = np.stack(
        [np.full(n, x), y - ring[:, 0] * w / 2, z + ring[:, 1] * h / 2], 1)
    fan = np.stack(
        [np.zeros(n - 2, int),
         np.arange(1, n - 1),
         np.arange(2, n)], 1)
    scale = 1.3 if shape == 'diamond' else 1.
    uv = ring[fan] * (scale if shape != 'diamond' else 1.)
    if shape == 'diamond':
        uv = np.stack([(ring[:, 0] + ring[:, 1]), (ring[:, 0] - ring[:, 1])],
                      1)[fan]
    b.add(
        v,
        fan,
        uv=uv,
        material=Mat.SIGN,
        color=(.5, .5, .5),
        param=(style, seed, 0, 0),
        label=SIGN)
    b.add(
        v + (.025, 0, 0),
        fan,
        uv=uv,
        material=Mat.SIGN,
        color=(.16, .16, .17),
        param=(9, seed, 0, 0),
        label=SIGN)


_PLATES = [('circle', 0, .65), ('circle', 1, .65), ('circle', 2, .65),
           ('triangle', 3, .85), ('down', 3, .85), ('octagon', 7, .75),
           ('diamond', 4, .65), ('square', 5, .65), ('square', 8, .6)]


def traffic_sign(rng: np.random.Generator) -> Mesh:
    """One or two plates on a pole."""
    b = MeshBuilder(POLE)
    n = int(rng.choice([1, 2], p=[.7, .3]))
    z = rng.uniform(2.1, 2.5)
    for _ in range(n):
        shape, style, size = _PLATES[rng.integers(len(_PLATES))]
        size *= rng.uniform(.95, 1.25)
        _plate(b, z + size / 2, size, size, shape, style, rng.random())
        z += size + .06
    if rng.random() < .3:
        _plate(b, z - .0 + .2, .6, .3, 'square', 8, rng.random())
        z += .4
    b.tube((0, 0, -.1), (0, 0, z),
           .045,
           sides=6,
           material=Mat.METAL,
           color=(.3, .3, .31))
    return b.build()


def guide_sign(rng: np.random.Generator) -> Mesh:
    """A large direction sign on two legs."""
    b = MeshBuilder(POLE)
    w, h = rng.uniform(1.6, 2.8), rng.uniform(1., 1.6)
    z = rng.uniform(2.2, 2.6)
    _plate(
        b,
        z + h / 2,
        w,
        h,
        'square',
        int(rng.choice([5, 6, 8])),
        rng.random(),
        x=-.1)
    for y in (-w * .35, w * .35):
        b.tube((0, y, -.1), (0, y, z + h),
               .06,
               sides=6,
               material=Mat.METAL,
               color=GREY)
    return b.build()


def fence(rng: np.random.Generator,
          length: float,
          kind: str = '') -> Tuple[Mesh, float]:
    """A fence along x, centred.

    Args:
        rng (np.random.Generator): Source of its looks.
        length (float): Metres.
        kind (str): ``planks``, ``pickets``, ``bars``, ``mesh``, ``railing``;
            random when empty.

    Returns:
        tuple: Mesh and its height in metres.
    """
    kind = kind or rng.choice(['planks', 'pickets', 'bars', 'mesh'])
    b = MeshBuilder(FENCE)
    h = {
        'planks': 1.7,
        'pickets': 1.05,
        'bars': 1.5,
        'mesh': 1.9,
        'railing': 1.05
    }[kind] * rng.uniform(.9, 1.15)
    dark = np.array([.04, .05, .045]) * rng.uniform(.5, 2)
    x0 = -length / 2
    if kind == 'planks':
        b.box((0, 0, h / 2), (length, .05, h),
              material=Mat.WOOD,
              color=np.array([.22, .13, .07]) * rng.uniform(.5, 1.5))
        return b.build(), h
    step, bar, mat, color = {
        'pickets': (.16, .10, Mat.WOOD, np.array([.5, .48, .44])),
        'bars': (.14, .06, Mat.METAL, dark),
        'mesh': (.09, .03, Mat.METAL, np.array([.06, .16, .09])),
        'railing': (.14, .05, Mat.METAL, np.array([.35, .36, .37])),
    }[kind]
    n = max(2, int(length / step))
    xs = x0 + (np.arange(n) + .5) * length / n
    lo, hi = .06, h * rng.uniform(.95, 1.)
    v = np.stack([
        np.stack([xs - bar / 2, np.zeros(n),
                  np.full(n, lo)], 1),
        np.stack([xs + bar / 2, np.zeros(n),
                  np.full(n, lo)], 1),
        np.stack([xs + bar / 2, np.zeros(n),
                  np.full(n, hi)], 1),
        np.stack([xs - bar / 2, np.zeros(n),
                  np.full(n, hi)], 1)
    ], 1).reshape(-1, 3)
    i = np.arange(n)[:, None] * 4
    faces = np.concatenate([i + [0, 1, 2], i + [0, 2, 3]])
    b.add(v, faces, material=mat, color=color)
    rails = [.25, .85] if kind != 'mesh' else list(np.linspace(.04, .98, 12))
    for t in rails:
        b.box((0, 0, t * h), (length, .04, .03 if kind == 'mesh' else .08),
              material=mat,
              color=color)
    for x in np.linspace(x0, -x0, max(2, int(length / 2.5) + 1)):
        b.box((x, 0, h / 2), (.09, .09, h * 1.04), material=mat, color=color)
    return b.build(), h


def wall(rng: np.random.Generator, length: float) -> Tuple[Mesh, float]:
    """A free-standing wall along x, centred.

    Args:
        rng (np.random.Generator): Source of its looks.
        length (float): Metres.

    Returns:
        tuple: Mesh and its height in metres.
    """
    b = MeshBuilder(LABEL_IDS['wall'])
    h = rng.uniform(1.3, 3.)
    style = int(rng.integers(4))
    color = {
        0: (.30, .12, .08),
        1: (.33, .32, .30),
        2: (.30, .27, .23),
        3: (.40, .38, .35)
    }[style] * rng.uniform(.7, 1.3, 3)
    b.box((0, 0, h / 2 - .1), (length, .3, h + .2),
          material=Mat.BRICK,
          color=color,
          param=(rng.random(), style, 0, 0))
    b.box((0, 0, h + .04), (length, .4, .08),
          material=Mat.PLAIN,
          color=color * .8)
    return b.build(), h


def guard_rail(rng: np.random.Generator, length: float) -> Mesh:
    """A guard rail along x, centred (label ``guard rail``, ignored)."""
    b = MeshBuilder(LABEL_IDS['guard rail'])
    b.box((0, 0, .6), (length, .06, .3),
          material=Mat.METAL,
          color=(.38, .39, .4))
    for x in np.arange(-length / 2 + .5, length / 2, 2.):
        b.box((x, .05, .35), (.1, .06, .7),
              material=Mat.METAL,
              color=(.3, .3, .3))
    return b.build()


def cone() -> Mesh:
    """A traffic cone (label ``dynamic``)."""
    b = MeshBuilder(DYNAMIC)
    b.box((0, 0, .02), (.38, .38, .04),
          material=Mat.PLAIN,
          color=(.03, .03, .03))
    for z0, z1, c in ((.04, .3, (.65, .12, .01)), (.3, .48, (.75, .75, .72)),
                      (.48, .72, (.65, .12, .01))):
        b.tube((0, 0, z0), (0, 0, z1),
               .16 * (1 - z0),
               .16 * (1 - z1) - .01,
               sides=8,
               material=Mat.PLAIN,
               color=c)
    return b.build()


def barrier(rng: np.random.Generator) -> Mesh:
    """A red and white barrier across x, 2 m wide (label ``fence``)."""
    b = MeshBuilder(FENCE)
    b.box((0, 0, .85), (.06, 2., .3),
          material=Mat.STRIPES,
          color=(.6, .03, .02),
          param=(.6, 0, 0, 0))
    b.box((0, 0, .35), (.06, 2., .2),
          material=Mat.STRIPES,
          color=(.6, .03, .02),
          param=(.6, 0, 0, 0))
    for y in (-.85, .85):
        b.box((0, y, .5), (.1, .08, 1.),
              material=Mat.PLAIN,
              color=(.4, .4, .4))
        b.box((0, y, .04), (.7, .2, .08),
              material=Mat.PLAIN,
              color=(.03, .03, .03))
    return b.build()


def bin_(rng: np.random.Generator) -> Mesh:
    """A wheeled rubbish bin (label ``dynamic``)."""
    b = MeshBuilder(DYNAMIC)
    color = [(.03, .03, .03), (.02, .08, .25), (.35, .25, .02),
             (.05, .15, .05)][rng.integers(4)]
    b.box((0, 0, .5), (.55, .5, 1.),
          top=(1.15, 1.15),
          material=Mat.PLAIN,
          color=color)
    b.box((0, 0, 1.04), (.66, .6, .07),
          material=Mat.PLAIN,
          color=np.array(color) * 1.3)
    return b.build()


def bench(rng: np.random.Generator) -> Mesh:
    """A bench along y, facing -x (label ``static``)."""
    b = MeshBuilder(STATIC)
    color = np.array([.2, .12, .06]) * rng.uniform(.6, 1.4)
    b.box((0, 0, .45), (.45, 1.7, .06), material=Mat.WOOD, color=color)
    b.box((.22, 0, .75), (.06, 1.7, .4), material=Mat.WOOD, color=color)
    for y in (-.7, .7):
        b.box((0, y, .22), (.4, .08, .44),
              material=Mat.PLAIN,
              color=(.05, .05, .05))
    return b.build()


def billboard(rng: np.random.Generator) -> Mesh:
    """An illuminated poster case (label ``static``): a look-alike."""
    b = MeshBuilder(STATIC)
    b.box((0, 0, 1.45), (.22, 1.35, 1.9),
          material=Mat.PLAIN,
          color=(.06, .06, .07))
    for x in (-.115, .115):
        b.quad([(x, -.6, .6), (x, .6, .6), (x, .6, 2.3), (x, -.6, 2.3)],
               material=Mat.POSTER,
               color=(.5, .5, .5),
               param=(rng.random(), 0, 0, 0))
    b.box((0, 0, .25), (.12, .8, .55),
          material=Mat.PLAIN,
          color=(.06, .06, .07))
    return b.build()


def bus_stop(rng: np.random.Generator) -> Mesh:
    """A shelter along x, open towards +y (label ``static``)."""
    b = MeshBuilder(STATIC)
    b.box((0, 0, 2.4), (4., 1.5, .12),
          material=Mat.METAL,
          color=(.15, .16, .17))
    for x in (-1.9, 1.9):
        for y in (-.65, .6):
            b.box((x, y, 1.2), (.09, .09, 2.4),
                  material=Mat.METAL,
                  color=(.15, .16, .17))
    b.box((0, -.65, 1.3), (3.8, .04, 1.7),
          material=Mat.GLASS,
          color=(.10, .12, .12))
    b.box((-1.9, 0, 1.35), (.12, 1.2, 1.8),
          material=Mat.POSTER,
          color=(.4, .4, .4),
          param=(rng.random(), 0, 0, 0))
    b.box((.4, -.4, .48), (2., .4, .07),
          material=Mat.WOOD,
          color=(.2, .12, .06))
    return b.build()


def cabinet(rng: np.random.Generator) -> Mesh:
    """A grey utility box (label ``static``)."""
    b = MeshBuilder(STATIC)
    w = rng.uniform(.6, 1.4)
    b.box((0, 0, .55), (w, .4, 1.1),
          material=Mat.BRICK,
          color=(.28, .29, .28),
          param=(rng.random(), rng.choice([1, 3]), 0, 0))
    return b.build()
