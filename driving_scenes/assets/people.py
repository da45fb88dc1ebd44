"""Articulated people: standing, walking, sitting on two wheels."""
from dataclasses import dataclass, field
from typing import Tuple

import numpy as np

from ..labels import LABEL_IDS
from ..materials import Mat
from ..meshes import Mesh, MeshBuilder

SKIN = np.array([[.55, .33, .22], [.45, .25, .16], [.25, .13, .08],
                 [.12, .06, .04]])
HAIR = np.array([[.02, .015, .01], [.08, .04, .02], [.25, .16, .06],
                 [.3, .3, .3]])
CLOTH = np.array([[.02, .02, .03], [.05, .06, .10], [.03, .05, .15],
                  [.12, .12, .12], [.3, .28, .25], [.6, .6, .58],
                  [.35, .03, .03], [.05, .18, .08], [.5, .35, .05],
                  [.25, .08, .2], [.1, .25, .4], [.18, .12, .07]])


@dataclass
class Person:
    """A person with a random appearance.

    Args:
        rng (np.random.Generator): Random generator for the appearance.
        child (bool): Whether the person is a child. Defaults to False.
    """
    rng: np.random.Generator = field(repr=False)
    child: bool = False

    def __post_init__(self) -> None:
        r = self.rng
        self.height = r.uniform(1.05, 1.4) if self.child else \
            float(np.clip(r.normal(1.73, .09), 1.5, 1.98))
        self.girth = r.uniform(.85, 1.25)
        self.skin = SKIN[r.choice(4, p=[.5, .25, .13, .12])]
        self.hair = HAIR[r.integers(4)]
        self.top = CLOTH[r.integers(len(CLOTH))] * r.uniform(.7, 1.3)
        self.legs = CLOTH[r.integers(5)] * r.uniform(.7, 1.3)
        self.skirt = r.random() < .12
        self.coat = r.random() < .25
        self.bag = int(r.choice(4, p=[.5, .2, .15, .15]))
        self.bag_color = CLOTH[r.integers(len(CLOTH))]
        self.hat = r.random() < .12
        self.phase = r.uniform(0, 2 * np.pi)
        self.arms = r.uniform(0, 1)
        self.helmet = r.random() < .5
        self.rng = None

    @property
    def size(self) -> Tuple[float, float, float]:
        """(l, w, h) in metres."""
        return (.55, .55, self.height)

    def walking(self, phase: float, stride: float = 1.) -> Mesh:
        """The person on foot.

        Args:
            phase (float): Phase of the gait, radians.
            stride (float): 1 when walking, 0 when standing.

        Returns:
            Mesh: Label ``person``.
        """
        b = MeshBuilder(LABEL_IDS['person'])
        h, g = self.height, self.girth
        swing = .42 * stride * np.sin(phase + self.phase)
        hip, shoulder = .5 * h, .82 * h
        for side in (-1, 1):
            a = side * swing
            y = side * .055 * h
            knee = np.array([
                .25 * h * np.sin(a * .9 + .1 * stride), y,
                hip - .25 * h * np.cos(a)
            ])
            bend = a - .35 * stride * max(0.,
                                          -np.sin(phase + self.phase) * side)
            foot = knee + np.array(
                [.25 * h * np.sin(bend), 0, -.245 * h * np.cos(bend)])
            foot[2] = max(foot[2], .03)
            leg = self.skin if self.skirt else self.legs
            b.tube((0, y, hip),
                   knee,
                   .052 * h * g,
                   .04 * h * g,
                   material=Mat.CLOTH,
                   color=self.legs)
            b.tube(
                knee,
                foot,
                .04 * h * g,
                .028 * h,
                material=Mat.CLOTH,
                color=leg)
            b.box(
                foot + (.04 * h, 0, .01), (.15 * h, .055 * h, .05 * h),
                material=Mat.PLAIN,
                color=(.02, .02, .02))
            self._arm(b, side, a, shoulder)
        self._torso(b, hip, shoulder, 0.)
        if self.skirt or self.coat:
            b.tube((0, 0, hip + .02 * h), (0, 0, hip - .18 * h),
                   .085 * h * g,
                   .12 * h * g,
                   sides=8,
                   material=Mat.CLOTH,
                   color=self.legs if self.skirt else self.top)
        if self.bag == 1:
            b.box((-.13 * h, 0, .7 * h), (.12 * h, .2 * h, .26 * h),
                  material=Mat.CLOTH,
                  color=self.bag_color)
        elif self.bag == 2:
            b.box((0, .17 * h, .4 * h), (.2 * h, .08 * h, .17 * h),
                  material=Mat.CLOTH,
                  color=self.bag_color)
        return b.build()

    def _arm(self, b: MeshBuilder, side: int, a: float,
             shoulder: float) -> None:
        """The left (1) or right (-1) arm, swung by the angle ``a``."""
        h, g = self.height, self.girth
        if self.arms < .15:
            elbow = np.array([.03, side * .14 * h, shoulder - .17 * h])
            hand = elbow + np.array([.14 * h, -side * .05 * h, .03 * h])
        else:
            elbow = np.array([
                -.17 * h * np.sin(a * .8), side * .135 * h, shoulder - .17 * h
            ])
            hand = elbow + np.array(
                [-.15 * h * np.sin(a * .8 - .3), 0, -.14 * h])
        b.tube((0, side * .11 * h * g, shoulder - .01 * h),
               elbow,
               .032 * h * g,
               material=Mat.CLOTH,
               color=self.top)
        b.tube(
            elbow,
            hand,
            .028 * h,
            .022 * h,
            material=Mat.CLOTH,
            color=self.top if self.coat else self.skin)

    def _torso(self,
               b: MeshBuilder,
               hip: float,
               shoulder: float,
               lean: float,
               x: float = 0.) -> None:
        """Trunk, neck and head, leaning forward by ``lean`` radians."""
        h, g = self.height, self.girth
        span = shoulder - hip

        def at(t: float, dx: float = 0.) -> np.ndarray:
            return np.array([
                x + span * t * np.sin(lean) + dx, 0,
                hip + span * t * np.cos(lean)
            ])

        sec = []
        for t, wx, wy in ((-.06, .06, .085), (.3, .06, .08), (.8, .07, .115),
                          (1., .055, .11), (1.08, .03, .04)):
            c = at(t)
            ring = np.arange(8) * np.pi / 4
            sec.append(c + np.stack([
                wx * h * g * np.cos(ring), wy * h * g * np.sin(ring),
                np.zeros(8)
            ], 1))
        b.loft(
            np.array(sec), np.full((4, 8), Mat.CLOTH),
            np.broadcast_to(self.top, (4, 8, 3)))
        head = at(1.) + np.array([.02 * h, 0, .1 * h])
        b.tube(at(1.03), head, .03 * h, material=Mat.CLOTH, color=self.skin)
        b.ellipsoid(
            head, (.058 * h, .048 * h, .07 * h),
            material=Mat.CLOTH,
            color=self.skin)
        b.ellipsoid(
            head + (-.016 * h, 0, .02 * h), (.056 * h, .054 * h, .062 * h),
            material=Mat.CLOTH,
            color=self.bag_color if self.hat else self.hair)

    def riding(self, phase: float, motor: bool) -> Mesh:
        """The person on a bicycle or motorcycle.

        Args:
            phase (float): Phase of the pedals, radians.
            motor (bool): Whether the vehicle is a motorcycle.

        Returns:
            Mesh: Label ``rider``, in the frame of the vehicle.
        """
        b = MeshBuilder(LABEL_IDS['rider'])
        h, g = self.height, self.girth
        hip = np.array([-.25, 0, 1.0 if not motor else .95])
        lean = .35 if not motor else .25
        shoulder_z = hip[2] + .32 * h
        for side in (-1, 1):
            a = phase + (0 if side > 0 else np.pi)
            foot = np.array([-.02 + .16 * np.cos(a), side * .12,
                             .3 + .16 * np.sin(a)]) if not motor else \
                np.array([.15, side * .24, .34])
            start = hip + (0, side * .08, 0)
            d = foot - start
            knee = (start + foot) / 2 + np.array([.5, 0, .25]) * np.sqrt(
                max(0., (.25 * h)**2 - (d**2).sum() / 4)) * .95
            if motor:
                knee[1] += side * .06
            b.tube(
                start,
                knee,
                .055 * h * g,
                .042 * h,
                material=Mat.CLOTH,
                color=self.legs)
            b.tube(
                knee,
                foot,
                .04 * h,
                .03 * h,
                material=Mat.CLOTH,
                color=self.legs)
            b.box(
                foot + (.05, 0, 0), (.24, .09, .08),
                material=Mat.PLAIN,
                color=(.02, .02, .02))
            sh = np.array([
                hip[0] + .3 * h * np.sin(lean), side * .11 * h,
                shoulder_z - .05
            ])
            hand = np.array([.42, side * .27, 1.06])
            elbow = (sh + hand) / 2 + np.array([-.06, side * .06, -.06])
            b.tube(sh, elbow, .034 * h * g, material=Mat.CLOTH, color=self.top)
            b.tube(elbow, hand, .028 * h, material=Mat.CLOTH, color=self.top)
        self._torso(b, hip[2], shoulder_z, lean, hip[0])
        if motor or self.helmet:
            head = (hip[0] + .32 * h * np.sin(lean) + .02 * h, 0,
                    hip[2] + .32 * h * np.cos(lean) + .12 * h)
            b.ellipsoid(
                head, (.085 * h, .07 * h, .075 * h),
                material=Mat.CARPAINT,
                color=self.bag_color)
        if self.bag == 1:
            b.box((hip[0] - .05, 0, hip[2] + .22 * h),
                  (.13 * h, .2 * h, .24 * h),
                  material=Mat.CLOTH,
                  color=self.bag_color)
        return b.build()
