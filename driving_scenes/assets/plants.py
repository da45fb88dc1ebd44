"""Trees, bushes and hedges, made of blobs with leaf cards around them."""
from typing import Optional

import numpy as np

from ..labels import LABEL_IDS
from ..materials import Mat
from ..meshes import Mesh, MeshBuilder

LEAF_COLORS = np.array([[.07, .13, .03], [.05, .10, .03], [.10, .15, .04],
                        [.06, .09, .05], [.13, .14, .03], [.16, .10, .03]])


def _cards(b: MeshBuilder, rng: np.random.Generator, centres: np.ndarray,
           size: float, color: np.ndarray) -> None:
    """Randomly turned leaf cards (triangles) around given points."""
    n = len(centres)
    d = rng.normal(size=(n, 3, 3))
    d -= d.mean(1, keepdims=True)
    d *= (
        size * rng.uniform(.6, 1.3, (n, 1, 1)) / np.sqrt(
            (d**2).sum(-1, keepdims=True)))
    v = (centres[:, None] + d).reshape(-1, 3)
    cols = color * rng.uniform(.55, 1.5, (n, 1))
    b.add(
        v,
        np.arange(3 * n).reshape(n, 3),
        material=Mat.FOLIAGE,
        color=cols,
        param=(rng.random(), 0, 0, 0))


def _crown(b: MeshBuilder, rng: np.random.Generator, centre, radii,
           color: np.ndarray, cards: int, size: float) -> None:
    """A blob and leaf cards on and around its surface."""
    centre, radii = np.asarray(centre, float), np.asarray(radii, float)
    b.ellipsoid(
        centre,
        radii * .86,
        level=2,
        bump=.16,
        rng=rng,
        material=Mat.FOLIAGE,
        color=color * .8,
        param=(rng.random(), 0, 0, 0))
    d = rng.normal(size=(cards, 3))
    d /= np.sqrt((d**2).sum(1, keepdims=True))
    _cards(b, rng, centre + d * radii * rng.uniform(.8, 1.08, (cards, 1)),
           size, color)


def tree(rng: np.random.Generator, kind: str = '') -> Mesh:
    """A tree, origin at the foot of its trunk.

    Args:
        rng (np.random.Generator): Source of its looks.
        kind (str): ``round``, ``tall``, ``conifer``, ``bare``, ``young``;
            random when empty.

    Returns:
        Mesh: Label ``vegetation``, trunk included, as in Cityscapes.
    """
    kind = kind or rng.choice(['round', 'tall', 'conifer', 'bare', 'young'],
                              p=[.5, .14, .14, .08, .14])
    b = MeshBuilder(LABEL_IDS['vegetation'])
    color = LEAF_COLORS[rng.integers(len(LEAF_COLORS))] * rng.uniform(.8, 1.3)
    bark = np.array([.10, .07, .05]) * rng.uniform(.6, 1.5)
    if kind == 'conifer':
        _conifer(b, rng, color, bark)
        return b.build()
    trunk = {
        'round': rng.uniform(2.3, 3.6),
        'tall': rng.uniform(1.5, 2.5),
        'bare': rng.uniform(2.4, 3.4),
        'young': rng.uniform(1.7, 2.3)
    }
    t = trunk[kind]
    r0 = .07 if kind == 'young' else rng.uniform(.14, .28)
    lean = rng.normal(0, .12, 2)
    top = np.array([lean[0], lean[1], t])
    b.tube((0, 0, -.2),
           top,
           r0 * 1.2,
           r0 * .8,
           sides=8,
           material=Mat.BARK,
           color=bark)
    if kind == 'tall':
        h = rng.uniform(6, 11)
        r = rng.uniform(1.1, 1.7)
        _crown(b, rng, (0, 0, t * .6 + h / 2), (r, r, h / 2), color, 420, .33)
        return b.build()
    if kind == 'young':
        r = rng.uniform(.8, 1.3)
        _crown(b, rng, top + (0, 0, r * .9), (r, r, r * 1.2), color, 160, .26)
        return b.build()
    _branches(b, rng, top, r0, None if kind == 'bare' else color, bark)
    if kind == 'round':
        r = rng.uniform(1.4, 2.1)
        _crown(b, rng, top + (0, 0, rng.uniform(2., 3.)), (r, r, r), color,
               150, .33)
    return b.build()


def _conifer(b: MeshBuilder, rng: np.random.Generator, color: np.ndarray,
             bark: np.ndarray) -> None:
    """Four cones of needles, one above the other."""
    h = rng.uniform(6, 12)
    b.tube((0, 0, -.2), (0, 0, h * .3), .2, material=Mat.BARK, color=bark)
    for i in range(4):
        z0 = h * (.12 + .2 * i)
        r = h * .2 * (1 - .2 * i)
        b.tube((0, 0, z0), (0, 0, z0 + h * .32),
               r,
               .05,
               sides=9,
               material=Mat.FOLIAGE,
               color=color * .5,
               param=(rng.random(), 0, 0, 0))
        t = rng.random(90)
        a = rng.uniform(0, 2 * np.pi, 90)
        rr = r * (1 - t) * rng.uniform(.9, 1.15, 90)
        _cards(b, rng,
               np.stack([rr * np.cos(a), rr * np.sin(a), z0 + t * h * .3], 1),
               .28, color * .6)


def _branches(b: MeshBuilder, rng: np.random.Generator, top: np.ndarray,
              r0: float, color: Optional[np.ndarray],
              bark: np.ndarray) -> None:
    """Branches from the top of a trunk with their crowns, or with twigs.

    Args:
        b (MeshBuilder): Gets them.
        rng (np.random.Generator): Source of their shapes.
        top (np.ndarray): (3, ), top of the trunk, metres.
        r0 (float): Radius of the trunk, metres.
        color (np.ndarray, optional): (3, ), of the leaves; None for twigs.
        bark (np.ndarray): (3, ), of the bark.
    """
    n = int(rng.integers(4, 7))
    spread = rng.uniform(1.2, 2.)
    for i in range(n):
        a = 2 * np.pi * i / n + rng.uniform(-.4, .4)
        c = top + np.array(
            [spread * np.cos(a), spread * np.sin(a),
             rng.uniform(.7, 2.4)])
        b.tube(
            top - (0, 0, .2),
            c,
            r0 * .6,
            r0 * .2,
            sides=5,
            material=Mat.BARK,
            color=bark)
        if color is None:
            for _ in range(9):
                e = c + rng.normal(0, .9, 3) + (0, 0, .9)
                b.tube(
                    c - (0, 0, .3),
                    e,
                    r0 * .22,
                    .012,
                    sides=3,
                    caps=False,
                    material=Mat.BARK,
                    color=bark)
                for _ in range(3):
                    b.tube(
                        e - (0, 0, .1),
                        e + rng.normal(0, .5, 3) + (0, 0, .4),
                        .03,
                        .008,
                        sides=3,
                        caps=False,
                        material=Mat.BARK,
                        color=bark)
        else:
            r = rng.uniform(1.1, 1.8)
            _crown(b, rng, c, (r, r, r * .85), color, 120, .33)


def bush(rng: np.random.Generator) -> Mesh:
    """A bush, origin on the ground, about a metre high."""
    b = MeshBuilder(LABEL_IDS['vegetation'])
    color = LEAF_COLORS[rng.integers(len(LEAF_COLORS))] * rng.uniform(.8, 1.3)
    for _ in range(int(rng.integers(1, 4))):
        r = rng.uniform(.35, .75)
        c = np.append(rng.normal(0, .4, 2), r * .7)
        _crown(b, rng, c, (r, r, r * .9), color, 70, .17)
    return b.build()


def hedge(rng: np.random.Generator, length: float) -> Mesh:
    """A trimmed hedge along x, centred, origin on the ground.

    Args:
        rng (np.random.Generator): Source of its looks.
        length (float): Metres along x.
    """
    b = MeshBuilder(LABEL_IDS['vegetation'])
    color = LEAF_COLORS[rng.integers(4)] * rng.uniform(.7, 1.2)
    h, w = rng.uniform(.8, 1.8), rng.uniform(.5, .8)
    b.box((0, 0, h / 2), (length, w, h),
          material=Mat.FOLIAGE,
          color=color * .8,
          param=(rng.random(), 0, 0, 0))
    n = int(length * 22)
    c = rng.uniform(-.5, .5, (n, 3)) * (length, w, h)
    face = rng.integers(0, 3, n)
    c[:, 1] = np.where(face == 0, np.sign(c[:, 1]) * w / 2, c[:, 1])
    c[:, 2] = np.where(face > 0, h / 2 - .02, c[:, 2])
    c[:, 2] += h / 2
    _cards(b, rng, c, .13, color)
    return b.build()
