"""Passenger cars and vans."""
from typing import Tuple

import numpy as np

from ...labels import LABEL_IDS
from ...materials import Mat
from ...meshes import Mesh, MeshBuilder
from .parts import GLASS, Size, add_lights, add_wheels, pick_color

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
    add_wheels(b, (length * .31, -length * .29), width / 2, r)
    add_lights(b, length, width / 2, .42 * height, .52 * height)
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
