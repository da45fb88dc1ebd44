"""Makes a piece of a street network with its traffic.

Everything is planned in street coordinates: ``s`` metres along the main
street, ``d`` metres to its left; crossing streets run along ``d``. A smooth
centre line then bends the plan into the world frame.
"""
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .assets import buildings, people, plants, street, vehicles
from .labels import LABEL_IDS
from .materials import Mat
from .meshes import Mesh, MeshBuilder, concat
from .world import Motion, SceneObject, World, random_conditions

ROAD = LABEL_IDS['road']
SIDEWALK = LABEL_IDS['sidewalk']
TERRAIN = LABEL_IDS['terrain']
CURB = .13
S_MIN, S_MAX, SIDE = -70., 250., 95.
LANE = 3.2

CONDITIONS = ('clear', 'overcast', 'clear', 'golden', 'rain', 'clear',
              'overcast', 'night', 'clear', 'fog', 'overcast')

#: What a scene shows for certain, in turns, so that no split lacks a class.
FEATURES = ('bus', 'train', 'motorcycle', 'truck', 'rider', 'bus', 'wall',
            'train', 'motorcycle', 'truck', 'fence', 'construction')


@dataclass
class CityStyle:
    """What the streets of a city have in common.

    Args:
        name (str): Name, letters only.
        buildings (BuildingStyle): Its houses.
        trees (float): How green it is, 0 to 1.
        cars (float): How full of cars it is, 0 to 1.
        people (float): How full of people it is, 0 to 1.
        asphalt (np.ndarray): (3, ), colour of its roads.
        paving (tuple): Style and slab size of the pavement.
        paving_color (np.ndarray): (3, ).
    """
    name: str
    buildings: buildings.BuildingStyle
    trees: float
    cars: float
    people: float
    asphalt: np.ndarray
    paving: Tuple[float, float]
    paving_color: np.ndarray


def make_city(name: str, seed: int) -> CityStyle:
    """The style of a city, the same for the same name and seed.

    Args:
        name (str): Name, letters only.
        seed (int): Seed of the data set.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    pick = rng.permutation(len(buildings.FACADES))[:7]
    low = int(rng.integers(2, 4))
    style = buildings.BuildingStyle(buildings.FACADES[pick],
                                    (low, low + int(rng.integers(1, 4))),
                                    rng.uniform(.2, .8), rng.uniform(.2, .6))
    kind = float(rng.integers(3))
    size = {0.: rng.uniform(.4, .9), 1.: rng.uniform(.12, .2), 2.: .5}[kind]
    grey = rng.uniform(.10, .19)
    pave = rng.uniform(.20, .36) if kind < 2 else rng.uniform(.12, .2)
    return CityStyle(name, style, rng.uniform(.35, .9), rng.uniform(.5, 1.),
                     rng.uniform(.5, 1.), grey * rng.uniform(.93, 1.05, 3),
                     (kind, size), pave * np.array([1.03, 1., .95]))


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Whether rectangles on the ground overlap (separating axes).

    Args:
        a (np.ndarray): (..., 5), (x, y, yaw, l, w), metres and radians.
        b (np.ndarray): The same, broadcast against ``a``.

    Returns:
        np.ndarray: bool, (...).
    """
    dx, dy = b[..., 0] - a[..., 0], b[..., 1] - a[..., 1]
    hit = np.ones(np.broadcast(dx, dy).shape, bool)
    rel = b[..., 2] - a[..., 2]
    c, s = np.abs(np.cos(rel)), np.abs(np.sin(rel))
    for ref, other in ((a, b), (b, a)):
        cy, sy = np.cos(ref[..., 2]), np.sin(ref[..., 2])
        lx, ly = dx * cy + dy * sy, -dx * sy + dy * cy
        hit &= np.abs(lx) < (ref[..., 3] + other[..., 3] * c +
                             other[..., 4] * s) / 2
        hit &= np.abs(ly) < (ref[..., 4] + other[..., 3] * s +
                             other[..., 4] * c) / 2
    return hit


def _swept_area(boxes: np.ndarray) -> np.ndarray:
    """Bounds (low x, low y, high x, high y) of a track (T, 5) at any yaw."""
    half = (boxes[:, 3:4] + boxes[:, 4:]) / 2
    return np.concatenate([(boxes[:, :2] - half).min(0),
                           (boxes[:, :2] + half).max(0)])


class StreetBuilder:
    """Builds one :class:`World`.

    Args:
        city (CityStyle): Where it is.
        rng (np.random.Generator): Source of everything.
        feature (str): One of :data:`FEATURES`; is shown for certain.
        conditions (str): One of :data:`CONDITIONS`.
        duration (float): Seconds. Defaults to 10.
    """

    def __init__(self,
                 city: CityStyle,
                 rng: np.random.Generator,
                 feature: str,
                 conditions: str,
                 duration: float = 10.) -> None:
        self.city, self.rng = city, rng
        self.feature, self.duration = feature, duration
        self.conditions = random_conditions(rng, conditions)
        self.parts: List[Mesh] = []
        self.objects: List[SceneObject] = []
        self.lamps: List[np.ndarray] = []
        self.areas: Dict[str, List[np.ndarray]] = {}
        self.times = np.arange(-1., duration + 1.01, .25)
        self._boxes = np.zeros((0, len(self.times), 5))
        # The area that each of them sweeps: (low x, low y, high x, high y).
        self._areas = np.zeros((0, 4))
        self._plan()

    # ---- coordinates -----------------------------------------------------

    def _plan(self) -> None:
        """Draws the centre line, the cross-section and the crossings."""
        r = self.rng
        grid = np.arange(-150., 350., .5)
        curve = np.zeros_like(grid)
        if r.random() < .55:
            radius = r.uniform(150, 400)
            curve = np.sin(2 * np.pi * grid / r.uniform(150, 320) +
                           r.uniform(0, 2 * np.pi)) / radius
        heading = np.concatenate([[0], np.cumsum(curve[:-1] * .5)])
        heading -= np.interp(0, grid, heading)
        x = np.concatenate([[0], np.cumsum(np.cos(heading[:-1]) * .5)])
        y = np.concatenate([[0], np.cumsum(np.sin(heading[:-1]) * .5)])
        self._line = grid, x - np.interp(0, grid, x), \
            y - np.interp(0, grid, y), heading
        district = r.choice(['downtown', 'residential', 'avenue', 'edge'],
                            p=[.36, .28, .2, .16])
        if self.feature == 'train':
            district = 'avenue'
        elif self.feature in ('wall', 'fence') and district == 'downtown':
            district = r.choice(['residential', 'edge'])
        self.district = district
        self.tram = district == 'avenue' and \
            (self.feature == 'train' or r.random() < .3)
        self.tram_half = 3.1 if self.tram else 0.
        self.lanes = int(r.choice([1, 2], p=[.7, .3]))
        if district == 'avenue':
            self.lanes = int(r.choice([1, 2], p=[.5, .5]))
        self.bike = r.random() < .35
        self.parking = [
            district != 'edge' and r.random() < .75 for _ in range(2)
        ]
        self.parking_label = LABEL_IDS['parking'] if r.random() < .3 else ROAD
        inner = self.tram_half + self.lanes * LANE + (1.5 if self.bike else 0)
        self.inner = inner
        #: Half width of the carriageway, left (0) and right (1).
        self.half = [inner + (2.2 if p else .3) for p in self.parking]
        wide = {
            'downtown': (2.4, 4.6),
            'residential': (1.6, 2.6),
            'avenue': (3., 5.),
            'edge': (1.5, 2.4)
        }[district]
        self.walk = [r.uniform(*wide) for _ in range(2)]
        green = {
            'downtown': .12,
            'residential': .45,
            'avenue': .4,
            'edge': .9
        }[district]
        self.verge = [
            r.uniform(1.2, 2.8) if r.random() < green else 0. for _ in range(2)
        ]
        s = r.uniform(38, 75)
        self.crossings: List[Tuple[float, float]] = []
        while s < S_MAX - 40:
            self.crossings.append((s, r.uniform(3.2, 4.8)))
            s += r.uniform(60, 105)
        self.signals = r.random() < .7
        self.green = bool(r.random() < .6)

    def to_world(self, s, d) -> Tuple[np.ndarray, np.ndarray]:
        """World x, y of street coordinates, metres."""
        grid, x, y, th = self._line
        s, d = np.asarray(s, float), np.asarray(d, float)
        t = np.interp(s, grid, th)
        return (np.interp(s, grid, x) - d * np.sin(t),
                np.interp(s, grid, y) + d * np.cos(t))

    def heading(self, s: float) -> float:
        """Direction of the street at ``s``, radians."""
        return float(np.interp(s, self._line[0], self._line[3]))

    # ---- placing ---------------------------------------------------------

    def _free(self, boxes: np.ndarray, margin: float = .25) -> bool:
        """Whether a track (T, 5) meets nothing that is there already."""
        grown = boxes.copy()
        grown[:, 3:] += margin
        area = _swept_area(grown)
        near = ((self._areas[:, :2] < area[2:]) &
                (self._areas[:, 2:] > area[:2])).all(1)
        others = self._boxes[near]
        reach = (others[..., 3] + others[..., 4] + grown[:, 3] +
                 grown[:, 4]) / 2
        near = (np.abs(others[..., :2] - grown[None, :, :2]).max(-1)
                < reach).any(1)
        return not overlaps(grown[None], others[near]).any()

    def _claim(self, boxes: np.ndarray) -> None:
        self._boxes = np.concatenate([self._boxes, boxes[None]])
        self._areas = np.concatenate([self._areas, _swept_area(boxes)[None]])

    def _spot(self, s: float, d: float, yaw: float, length: float,
              width: float) -> np.ndarray:
        """A standing rectangle as a track (T, 5)."""
        x, y = self.to_world(s, d)
        box = np.array([x, y, self.heading(s) + yaw, length, width])
        return np.broadcast_to(box, (len(self.times), 5))

    def put(self,
            mesh: Mesh,
            s: float,
            d: float,
            yaw: float = 0.,
            z: float = CURB,
            foot: Optional[Sequence[float]] = (.4, .4),
            scale: float = 1.) -> bool:
        """Places furniture unless something is in the way.

        Args:
            mesh (Mesh): In its own frame.
            s (float): Metres along the street.
            d (float): Metres to its left.
            yaw (float): Relative to the street, radians.
            z (float): Height of the ground there.
            foot (Sequence[float], optional): (l, w) of its footprint; None
                does not check.
            scale (float): Factor on its size.

        Returns:
            bool: Whether it was placed.
        """
        if foot is not None:
            box = self._spot(s, d, yaw, *foot)
            if not self._free(box, .1):
                return False
            self._claim(box)
        x, y = self.to_world(s, d)
        self.parts.append(mesh.moved((x, y, z), self.heading(s) + yaw, scale))
        return True

    def add_object(self,
                   category: str,
                   size,
                   boxes: np.ndarray,
                   motion: Motion,
                   mesh: Optional[Mesh] = None,
                   pose_mesh: Optional[Callable[[float], Mesh]] = None,
                   attribute: str = '') -> None:
        """Registers an object that was found free."""
        self._claim(boxes)
        self.objects.append(
            SceneObject(
                len(self.objects) + 1, category, tuple(size), motion, mesh,
                pose_mesh, attribute))

    def park(self,
             category: str,
             made,
             s: float,
             d: float,
             yaw: float,
             z: float = 0.,
             attribute: str = 'vehicle.parked') -> bool:
        """Places a standing object, unless something is in the way."""
        mesh, size = made
        box = self._spot(s, d, yaw, size[0], size[1])
        if not self._free(box):
            return False
        x, y = self.to_world(s, d)
        self.add_object(
            category,
            size,
            box,
            Motion.standing(float(x), float(y),
                            self.heading(s) + yaw, z),
            mesh,
            attribute=attribute)
        return True

    def path(self,
             s: np.ndarray,
             d: np.ndarray,
             z: float = 0.,
             yaw: Optional[np.ndarray] = None) -> Motion:
        """Motion along street coordinates sampled at ``self.times``."""
        x, y = self.to_world(s, d)
        if yaw is None:
            yaw = np.arctan2(np.gradient(y), np.gradient(x))
        return Motion(self.times.copy(),
                      np.stack([x, y, np.full(len(x), z)], 1), np.unwrap(yaw))

    def drive(self,
              category: str,
              size,
              s: np.ndarray,
              d: np.ndarray,
              mesh: Optional[Mesh] = None,
              pose_mesh=None,
              z: float = 0.,
              attribute: str = 'vehicle.moving',
              yaw=None) -> bool:
        """Adds a moving object, unless it would meet something."""
        motion = self.path(s, d, z, yaw)
        boxes = np.concatenate([
            motion.xyz[:, :2], motion.yaw[:, None],
            np.broadcast_to(np.array(size[:2], float), (len(s), 2))
        ], 1)
        if not self._free(boxes, .35):
            return False
        self.add_object(category, size, boxes, motion, mesh, pose_mesh,
                        attribute)
        return True

    # ---- ground ----------------------------------------------------------

    def _grid(self, b: MeshBuilder, s_lines, d_lines, z: float,
              **kwargs) -> None:
        """A surface over a grid in street coordinates."""
        s, d = np.meshgrid(s_lines, d_lines, indexing='ij')
        x, y = self.to_world(s, d)
        v = np.stack([x, y, np.full_like(x, z)], -1).reshape(-1, 3)
        n, m = s.shape
        i, j = np.meshgrid(np.arange(n - 1), np.arange(m - 1), indexing='ij')
        a = (i * m + j).reshape(-1)
        faces = np.concatenate([
            np.stack([a, a + m, a + m + 1], 1),
            np.stack([a, a + m + 1, a + 1], 1)
        ])
        sd = np.stack([s, d], -1).reshape(-1, 2)
        b.add(v, faces, uv=sd[faces], **kwargs)

    @staticmethod
    def _lines(a: float, b: float, step: float = 4.) -> np.ndarray:
        return np.linspace(a, b, max(2, int(np.ceil(abs(b - a) / step)) + 1))

    def _mark(self,
              b: MeshBuilder,
              s0: float,
              s1: float,
              d0: float,
              d1: float,
              color=(.62, .62, .60)) -> None:
        """Paint on the road."""
        self._grid(
            b,
            self._lines(s0, s1), [d0, d1],
            .006,
            material=Mat.PAINT,
            color=color,
            param=(0, self.wear, 0, 0),
            label=ROAD)

    def ground(self) -> None:
        """Carriageways, markings, blocks with pavement and curbs."""
        r, b = self.rng, MeshBuilder(ROAD)
        self.wear = r.uniform(.0, .4)
        self._grid(
            b,
            self._lines(-150, 349, 20),
            self._lines(-110, 110, 40),
            -.06,
            material=Mat.GRASS,
            color=(.08, .12, .04),
            param=(0, .1, 0, 0),
            label=TERRAIN)
        self.tar = r.random()
        road = dict(
            material=Mat.ASPHALT,
            color=self.city.asphalt,
            param=(self.tar, 0, 0, 0))
        hl, hr = self.half
        self._grid(b, self._lines(S_MIN, S_MAX),
                   [-hr, -self.inner, self.inner, hl], 0., **road)
        self.areas['drivable'] = [self._outline(S_MIN, S_MAX, -hr, hl)]
        for s, w in self.crossings:
            for d0, d1 in ((hl, SIDE), (-SIDE, -hr)):
                self._grid(b, [s - w, s, s + w], self._lines(d0, d1), 0.,
                           **road)
                self.areas['drivable'].append(
                    self._outline(s - w, s + w, d0, d1))
        self._markings(b)
        edges = [S_MIN]
        for s, w in self.crossings:
            edges += [s - w, s + w]
        edges.append(S_MAX)
        self.blocks = list(zip(edges[::2], edges[1::2]))
        for side in (0, 1):
            for a, e in self.blocks:
                self._block(b, side, a, e)
        self.parts.append(b.build())

    def _outline(self, s0, s1, d0, d1) -> np.ndarray:
        s = np.concatenate([self._lines(s0, s1), self._lines(s1, s0)])
        n = len(s) // 2
        x, y = self.to_world(s, np.repeat([d0, d1], n))
        return np.stack([x, y], 1)

    def _markings(self, b: MeshBuilder) -> None:
        """Lane lines, stop lines, zebra crossings, tram rails, bays."""
        r = self.rng
        spans = []
        last = S_MIN
        for s, w in self.crossings:
            spans.append((last, s - w - 4.5))
            last = s + w + 4.5
        spans.append((last, S_MAX))
        dashed = r.random() < .75
        for a, e in spans:
            if e - a < 6:
                continue
            if self.tram:
                for d in (-self.tram_half, self.tram_half):
                    self._mark(b, a, e, d - .07, d + .07)
            elif dashed:
                for s in np.arange(a, e - 3, 9.):
                    self._mark(b, s, s + 3, -.07, .07)
            elif self.lanes > 1:
                for d in (-.12, .12):
                    self._mark(b, a, e, d - .06, d + .06)
            for k in range(1, self.lanes):
                for sign in (-1, 1):
                    d = sign * (self.tram_half + k * LANE)
                    for s in np.arange(a, e - 3, 9.):
                        self._mark(b, s, s + 3, d - .06, d + .06)
            if self.bike:
                d0 = self.inner - 1.5
                if r.random() < .4:
                    for sign in (-1, 1):
                        lo, hi = sorted((sign * d0, sign * self.inner))
                        self._grid(
                            b,
                            self._lines(a, e), [lo, hi],
                            .004,
                            material=Mat.ASPHALT,
                            color=(.26, .07, .05),
                            param=(3, 0, 0, 0),
                            label=ROAD)
                for sign in (-1, 1):
                    for s in np.arange(a, e - 2, 2.5):
                        self._mark(b, s, s + 1.4, sign * d0 - .06,
                                   sign * d0 + .06)
            for side, sign in ((0, 1), (1, -1)):
                if not self.parking[side]:
                    continue
                lo, hi = sorted((sign * self.inner, sign * self.half[side]))
                if self.parking_label != ROAD:
                    self._grid(
                        b,
                        self._lines(a + 3, e - 3), [lo, hi],
                        .004,
                        material=Mat.PAVING,
                        color=self.city.asphalt * 1.15,
                        param=(5, 1, .16, 0),
                        label=self.parking_label)
                for s in np.arange(a + 3, e - 3, 5.6):
                    self._mark(b, s, s + .1, lo, hi)
        for s, w in self.crossings:
            zebra = r.random() < .75
            for sign in (-1, 1):
                c = s + sign * (w + 2.4)
                lo, hi = (-self.inner, 0) if sign < 0 else (0, self.inner)
                if abs(c) > 1e-6 and self.signals:
                    self._mark(b, c + sign * 1.9, c + sign * 2.3, lo, hi)
                if zebra:
                    for d in np.arange(-self.inner + .3, self.inner - .4, 1.):
                        self._mark(b, c - 1.4, c + 1.4, d, d + .5)
            for d0, d1 in ((self.half[0] + 4, 60), (-60, -self.half[1] - 4)):
                for d in np.arange(d0, d1, 6.):
                    self._mark(b, s - .06, s + .06, d, d + 3)
        if self.tram:
            for track in (-1.55, 1.55):
                for d in (track - .72, track + .72):
                    self._grid(
                        b,
                        self._lines(S_MIN, S_MAX), [d - .05, d + .05],
                        .008,
                        material=Mat.METAL,
                        color=(.08, .08, .085),
                        label=ROAD)

    def _block(self, b: MeshBuilder, side: int, a: float, e: float) -> None:
        """One raised block: pavement around it, curbs, ground behind."""
        r = self.rng
        sign = 1 if side == 0 else -1
        half, walk, verge = self.half[side], self.walk[side], \
            self.verge[side]
        wa = 0. if a <= S_MIN else min(3., (e - a) / 4)
        we = 0. if e >= S_MAX else min(3., (e - a) / 4)
        pave = dict(
            material=Mat.PAVING,
            color=self.city.paving_color,
            param=(r.random(), *self.city.paving, 0),
            label=SIDEWALK)
        grass = dict(
            material=Mat.GRASS,
            color=np.array([.07, .13, .03]) * r.uniform(.8, 1.4),
            param=(r.random(), r.uniform(-.3, .4), 0, 0),
            label=TERRAIN)
        green = self.district in ('residential', 'edge') or \
            r.random() < .3
        yard = grass if green else dict(
            material=Mat.GRAVEL,
            color=(.22, .20, .17),
            label=LABEL_IDS['ground'])

        def d_of(x):
            return sign * (half + np.asarray(x, float))

        s_in = self._lines(a + wa, e - we)
        # The verge lies beside the road; the pavement behind it.
        v0, v1 = (0., verge) if verge and r.random() < .5 else \
            (walk, walk + verge)
        self.verge_at = getattr(self, 'verge_at', {})
        front = walk + verge
        self.verge_at[side] = v0
        zones = [(0., v0, pave), (v0, v1, grass), (v1, max(front, v1), pave),
                 (front, SIDE - half, yard)]
        for lo, hi, look in zones:
            if hi - lo > .05:
                self._grid(b, s_in, d_of(self._lines(lo, hi, 8.)), CURB,
                           **look)
        rad = min(wa or we or 1., front, 2.6)
        stone = dict(
            material=Mat.PAVING,
            color=self.city.paving_color * 1.25,
            param=(1., 0, .5, 0),
            label=SIDEWALK)
        self._curb(b,
                   self._lines(a + (rad if wa else 0), e - (rad if we else 0)),
                   None, d_of(0), sign, stone)
        for s_end, w, inward in ((a, wa, 1), (e, we, -1)):
            if not w:
                continue
            lines = self._lines(front, SIDE - half)
            self._grid(b, sorted([s_end, s_end + inward * w]), d_of(lines),
                       CURB, **pave)
            # The carriageway reaches under the rounded corner.
            self._grid(
                b,
                sorted([s_end, s_end + inward * rad]),
                sorted(d_of([0., rad])),
                0.,
                material=Mat.ASPHALT,
                color=self.city.asphalt,
                param=(self.tar, 0, 0, 0),
                label=ROAD)
            arc = np.linspace(0, np.pi / 2, 7)
            ps = s_end + inward * rad * (1 - np.sin(arc))
            pe = rad * (1 - np.cos(arc))
            ring_s = np.concatenate([[s_end + inward * w], ps,
                                     [s_end, s_end + inward * w]])
            ring_e = np.concatenate([[0], pe, [front, front]])
            x, y = self.to_world(ring_s, d_of(ring_e))
            v = np.stack([x, y, np.full_like(x, CURB)], 1)
            n = len(v)
            fan = np.stack(
                [np.full(n - 2, n - 1),
                 np.arange(n - 2),
                 np.arange(1, n - 1)], 1)
            b.add(v, fan, uv=np.stack([ring_s, d_of(ring_e)], 1)[fan], **pave)
            cs = np.concatenate([ps, np.full(12, s_end)])
            ce = np.concatenate([pe, np.linspace(rad, SIDE - half, 12)])
            x, y = self.to_world(cs, d_of(ce))
            self._skirt(
                b, x, y,
                np.cumsum(
                    np.hypot(
                        np.diff(cs, prepend=cs[0]),
                        np.diff(ce, prepend=ce[0]))), stone)

    def _skirt(self, b, x, y, run, look) -> None:
        """The vertical face of a curb along a line."""
        n = len(x)
        v = np.concatenate([
            np.stack([x, y, np.full(n, -.02)], 1),
            np.stack([x, y, np.full(n, CURB)], 1)
        ])
        i = np.arange(n - 1)
        faces = np.concatenate([
            np.stack([i, i + 1, i + 1 + n], 1),
            np.stack([i, i + 1 + n, i + n], 1)
        ])
        uv = np.stack([np.tile(run, 2), v[:, 2]], 1)
        b.add(v, faces, uv=uv[faces], **look)

    def _curb(self, b, s, _, d, sign, look) -> None:
        """Curb along the main street: its face and its stone on top."""
        x, y = self.to_world(s, np.full_like(s, d))
        self._skirt(b, x, y, s, look)
        self._grid(b, s, sorted([d, d + sign * .18]), CURB + .004, **look)

    # ---- what stands beside the street -------------------------------------

    def _rect(self, s0, s1, d0, d1, front: str) -> np.ndarray:
        """Footprint (4, 2) in the world; its first edge is the front."""
        s0, s1 = sorted((s0, s1))
        d0, d1 = sorted((d0, d1))
        order = {
            '-d': [(s0, d0), (s1, d0), (s1, d1), (s0, d1)],
            '+d': [(s1, d1), (s0, d1), (s0, d0), (s1, d0)],
            '-s': [(s0, d1), (s0, d0), (s1, d0), (s1, d1)],
            '+s': [(s1, d0), (s1, d1), (s0, d1), (s0, d0)],
        }[front]
        s, d = np.array(order, float).T
        return np.stack(self.to_world(s, d), 1)

    def _build(self, s0, s1, d0, d1, front, kind='block') -> None:
        self.parts.append(
            buildings.building(self.rng, self._rect(s0, s1, d0, d1, front),
                               self.city.buildings, kind))

    def surroundings(self) -> None:
        """Buildings, gardens, walls, fences along all streets."""
        r = self.rng
        self.tree_kit = [plants.tree(r) for _ in range(4)]
        self.slim_kit = [plants.tree(r, k) for k in ('young', 'tall')]
        self.bush_kit = [plants.bush(r) for _ in range(3)]
        for side in (0, 1):
            sign = 1 if side == 0 else -1
            front = self.half[side] + self.walk[side] + self.verge[side]
            for a, e in self.blocks:
                lo = a if a <= S_MIN else a + 3.3
                hi = e if e >= S_MAX else e - 3.3
                self._row(side, lo, hi, front)
                for s_end, inward in ((lo, 1), (hi, -1)):
                    if (inward > 0 and a <= S_MIN) or \
                            (inward < 0 and e >= S_MAX):
                        continue
                    d = front + 17.
                    while d < SIDE - 12:
                        w = r.uniform(8, 18)
                        if r.random() < .85 and hi - lo > 26:
                            self._build(s_end, s_end + inward * 11, sign * d,
                                        sign * (d + w),
                                        '-s' if inward > 0 else '+s')
                        elif r.random() < .7:
                            self._plant(s_end + inward * 4, sign * (d + 5))
                        d += w + (r.uniform(2, 6) if r.random() < .3 else 0)
        for s, w in self.crossings:
            for sign in (-1, 1):
                d = sign * (SIDE + 3)
                self._build(s - 22, s + 2, d, d + sign * 10,
                            '-d' if sign > 0 else '+d')
                self._build(s + 2, s + 24, d, d + sign * 10,
                            '-d' if sign > 0 else '+d')
        for s0, front in ((S_MAX + 8, '-s'), (S_MIN - 22, '+s')):
            d = -70.
            while d < 70:
                w = r.uniform(10, 20)
                if r.random() < .8:
                    self._build(s0, s0 + 12, d, d + w, front)
                else:
                    for _ in range(3):
                        self._plant(s0 + r.uniform(0, 8), d + r.uniform(0, w))
                d += w

    def _plant(self,
               s: float,
               d: float,
               slim: bool = False,
               foot=None,
               z: float = CURB) -> bool:
        """A tree from the kit."""
        r = self.rng
        kit = self.slim_kit if slim else self.tree_kit
        return self.put(kit[r.integers(len(kit))], s, d,
                        r.uniform(0, 2 * np.pi), z, foot, r.uniform(.8, 1.2))

    def _row(self, side: int, lo: float, hi: float, front: float) -> None:
        """Lots side by side along one side of the main street."""
        r, sign = self.rng, 1 if side == 0 else -1
        face = '-d' if sign > 0 else '+d'
        odds = {
            'downtown': [.84, .02, .03, .03, .04, .04],
            'avenue': [.66, .06, .08, .06, .08, .06],
            'residential': [.16, .56, .08, .09, .09, .02],
            'edge': [.12, .12, .22, .2, .24, .10],
        }[self.district]
        kinds = ['block', 'house', 'park', 'wall', 'fence', 'lot']
        s, count = lo, 0
        while s < hi - 5:
            kind = r.choice(kinds, p=odds)
            if self.feature in ('wall', 'fence') and count % 3 == side:
                kind = self.feature
            count += 1
            w = min(
                r.uniform(9, 20) if kind != 'house' else r.uniform(11, 17),
                hi - s)
            if hi - s - w < 6:
                w = hi - s
            e = s + w
            d0 = front + .05
            if kind == 'block':
                setback = r.choice([0., 0., 0., r.uniform(0, 1.2)])
                hall = self.district == 'edge' and r.random() < .5
                self._build(s, e, sign * (d0 + setback),
                            sign * (d0 + r.uniform(11, 15)), face,
                            'hall' if hall else 'block')
            elif kind == 'house':
                back = r.uniform(3.5, 7)
                gap = r.uniform(1.2, 2.8)
                self._build(s + gap, e - gap, sign * (d0 + back),
                            sign * (d0 + back + r.uniform(8, 10)), face,
                            'house')
                self._border(s, e, sign * (d0 + .35), gate=True)
                if r.random() < .6:
                    self._plant(
                        s + r.uniform(1, w - 1),
                        sign * (d0 + back * .55),
                        slim=True)
                for _ in range(int(r.integers(0, 4))):
                    self.put(
                        self.bush_kit[r.integers(3)],
                        s + r.uniform(1, w - 1),
                        sign * (d0 + r.uniform(1.2, back - .8)),
                        r.uniform(0, 6),
                        foot=None)
            elif kind == 'park':
                n = int(w * 1.1)
                for _ in range(n):
                    t = r.uniform(0, 1)
                    self._plant(
                        s + r.uniform(0, w),
                        sign * (d0 + 2 + t * 22),
                        slim=t < .1,
                        foot=(1., 1.))
                for _ in range(int(w * .5)):
                    self.put(
                        self.bush_kit[r.integers(3)],
                        s + r.uniform(0, w),
                        sign * (d0 + r.uniform(.6, 12)),
                        r.uniform(0, 6),
                        foot=None,
                        scale=r.uniform(.7, 1.6))
            elif kind in ('wall', 'fence'):
                self._long(kind, s, e, sign * (d0 + .3))
                if r.random() < .5:
                    self._build(s + 1, e - 1, sign * (d0 + 9),
                                sign * (d0 + 20), face,
                                'hall' if r.random() < .4 else 'block')
                else:
                    for _ in range(int(w * .5)):
                        self._plant(
                            s + r.uniform(0, w),
                            sign * (d0 + r.uniform(4, 20)),
                            foot=(1., 1.))
                for _ in range(int(w * .25)):
                    self.put(
                        self.bush_kit[r.integers(3)],
                        s + r.uniform(.5, w - .5),
                        sign * (d0 + r.uniform(1.4, 4)),
                        foot=None,
                        scale=r.uniform(.8, 1.5))
            else:
                for x in np.arange(s + 2, e - 1.2, 2.8):
                    if r.random() < .7 * self.city.cars + .1:
                        self.park(
                            'vehicle.car', vehicles.car(r), x,
                            sign * (d0 + 3.4),
                            np.pi / 2 * r.choice([-1, 1]) + r.normal(0, .03),
                            CURB)
                self._build(s, e, sign * (d0 + 15), sign * (d0 + 24), face)
                if r.random() < .5:
                    self._long('fence', s, e, sign * (d0 + .3), 'railing', .5)
            s = e

    def _long(self,
              kind: str,
              s: float,
              e: float,
              d: float,
              style: str = '',
              share: float = 1.) -> None:
        """A wall or fence in pieces that follow the bend of the street."""
        r = self.rng
        n = max(1, int((e - s) * share / 7))
        step = (e - s) * share / n
        state = r.integers(1 << 30)
        if not style and kind == 'fence':
            style = r.choice(['planks', 'pickets', 'bars', 'mesh'])
        for k in range(n):
            rr = np.random.default_rng(state)
            mesh, _ = street.wall(rr, step + .05) if kind == 'wall' else \
                street.fence(rr, step, style)
            self.put(mesh, s + (k + .5) * step, d, foot=None)

    def _border(self, s: float, e: float, d: float, gate: bool) -> None:
        """What closes a front garden: hedge, fence, wall or nothing."""
        r = self.rng
        kind = r.choice(['hedge', 'fence', 'wall', 'none'],
                        p=[.34, .32, .18, .16])
        if kind == 'none':
            return
        parts = [(s + .2, e - .2)]
        if gate:
            g = r.uniform(s + 2, e - 4)
            parts = [(s + .2, g), (g + 1.8, e - .2)]
        style = r.choice(['planks', 'pickets', 'bars'])
        state = r.integers(1 << 30)
        for a, z in parts:
            if z - a < 1:
                continue
            rr = np.random.default_rng(state)
            if kind == 'hedge':
                mesh = plants.hedge(rr, z - a)
            elif kind == 'fence':
                mesh, _ = street.fence(rr, z - a, style)
            else:
                mesh, _ = street.wall(rr, z - a)
            self.put(mesh, (a + z) / 2, d, foot=None)

    def furniture(self) -> None:
        """Lamps, lights, signs, trees and small things on the pavement."""
        r = self.rng
        for s, w in self.crossings:
            self._corner(s, w)
            self._side_street(s, w)
        for side in (0, 1):
            sign = 1 if side == 0 else -1
            half, walk = self.half[side], self.walk[side]
            # Heading of the lane beside this pavement.
            yaw = 0. if side == 1 else np.pi
            line = sign * (half + .55)
            reach = -sign if side == 0 else 1
            spacing = r.uniform(18, 30)
            wide = walk + self.verge[side] > 4.2
            verge = self.verge[side] > 0
            for a, e in self.blocks:
                lo, hi = max(a + 4, -40), min(e - 4, 220)
                for s in np.arange(lo + r.uniform(0, spacing), hi, spacing):
                    state = np.random.default_rng(r.integers(1 << 30))
                    mesh = street.lamp_post(state, r.uniform(1.2, 2.2))
                    turn = 0. if reach > 0 else np.pi
                    if self.put(mesh, s, line, turn):
                        x, y = self.to_world(s, line - sign * 1.6)
                        self.lamps.append(np.array([x, y, 6.2]))
                s = lo + r.uniform(0, 8)
                rows = r.random() < self.city.trees
                while s < hi:
                    if rows and r.random() < .85:
                        at = half + (
                            self.verge_at[side] +
                            self.verge[side] / 2 if verge else .95)
                        self._plant(s, sign * at, slim=not wide, foot=(.6, .6))
                    s += r.uniform(7, 12)
                for _ in range(int((hi - lo) / 14)):
                    s = r.uniform(lo, hi)
                    pick = r.random()
                    if pick < .5:
                        self.put(street.traffic_sign(r), s, line, yaw)
                    elif pick < .58:
                        self.put(
                            street.guide_sign(r), s, line, yaw, foot=(.4, 2.2))
                    elif pick < .72:
                        self.put(
                            street.bin_(r),
                            s,
                            sign * (half + .6),
                            r.uniform(-.2, .2),
                            foot=(.8, .8))
                    elif pick < .80:
                        self.put(
                            street.bench(r),
                            s,
                            sign * (half + walk - .6),
                            np.pi / 2 * sign,
                            foot=(.6, 1.8))
                    elif pick < .88:
                        self.put(
                            street.billboard(r),
                            s,
                            sign * (half + .75),
                            yaw,
                            foot=(.4, 1.4))
                    elif pick < .95:
                        self.put(
                            street.cabinet(r),
                            s,
                            sign * (half + walk - .4),
                            foot=(1.4, .5))
                    else:
                        self.put(street.pole(r, r.uniform(5, 8)), s, line)
                if walk > 2.6 and r.random() < .3:
                    self.put(
                        street.bus_stop(r),
                        r.uniform(lo, hi),
                        sign * (half + walk - .95),
                        0. if sign < 0 else np.pi,
                        foot=(4.2, 1.6))
                if r.random() < .3:
                    s0 = r.uniform(lo, hi)
                    for k in range(int(r.integers(3, 9))):
                        self.put(
                            street.bollard(r),
                            s0 + 1.6 * k,
                            sign * (half + .35),
                            foot=(.2, .2))
                if self.district in ('avenue', 'edge') and r.random() < .25:
                    s0, n = r.uniform(lo, hi), int(r.integers(2, 5))
                    for k in range(n):
                        rail = street.guard_rail(r, 6.) if \
                            self.district == 'edge' and r.random() < .4 \
                            else street.fence(r, 6., 'railing')[0]
                        self.put(
                            rail,
                            s0 + 6. * k,
                            sign * (half + .3),
                            0. if sign < 0 else np.pi,
                            foot=(5.8, .1))

    def _side_street(self, s: float, w: float) -> None:
        """Lamps, trees, signs and small things along a crossing street."""
        r = self.rng
        for sign in (-1, 1):
            start = self.half[0 if sign > 0 else 1] + 9.
            for edge in (-1, 1):
                line = s + edge * (w + .55)
                # Right-hand traffic drives along the edge on its right.
                yaw = np.pi / 2 if edge > 0 else -np.pi / 2
                green = r.random() < self.city.trees
                d = start + r.uniform(0, 6)
                while d < 78:
                    pick = r.random()
                    if pick < .22:
                        mesh = street.lamp_post(r, r.uniform(1., 1.6))
                        # The arm, along +y, reaches over the carriageway.
                        if self.put(mesh, line, sign * d, np.pi / 2 * edge):
                            x, y = self.to_world(s + edge * w * .6, sign * d)
                            self.lamps.append(np.array([x, y, 6.2]))
                    elif pick < .45:
                        self.put(street.traffic_sign(r), line, sign * d, yaw)
                    elif pick < .53:
                        self.put(
                            street.bin_(r), line, sign * d, yaw, foot=(.8, .8))
                    elif pick < .60:
                        self.put(
                            street.cabinet(r),
                            line,
                            sign * d,
                            np.pi / 2,
                            foot=(1.4, .5))
                    elif pick < .66:
                        self.put(
                            street.billboard(r),
                            line,
                            sign * d,
                            yaw,
                            foot=(.4, 1.4))
                    elif green or pick > .9:
                        self._plant(
                            line + edge * .3,
                            sign * d,
                            slim=True,
                            foot=(.6, .6))
                    d += r.uniform(4, 9)

    def _corner(self, s: float, w: float) -> None:
        """Traffic lights, or signs, at a crossing."""
        r = self.rng
        state = 2 if self.green else 0
        main, cross = state, 2 - state
        over = self.lanes > 1 or r.random() < .35
        if self.signals:
            reach = self.inner * .75 if over else 0.
            before = s - w - 3.1
            self.put(
                street.traffic_light(r, main, reach), before,
                -(self.half[1] + .5), 0.)
            self.put(
                street.traffic_light(r, main), s + w + 1.2,
                -(self.half[1] + .9), 0.)
            self.put(
                street.traffic_light(r, main, reach), s + w + 3.1,
                self.half[0] + .5, np.pi)
            self.put(
                street.traffic_light(r, main), before, self.half[0] + .5, 0.)
            self.put(
                street.traffic_light(r, cross), s + w + .6,
                -(self.half[1] + 2.6), np.pi / 2)
            self.put(
                street.traffic_light(r, cross), s - w - .6, self.half[0] + 2.6,
                -np.pi / 2)
        else:
            for ss, d, yaw in ((s - w - 2.6, -(self.half[1] + .5),
                                0.), (s + w + 2.6, self.half[0] + .5, np.pi),
                               (s + w + .6, -(self.half[1] + 2.4), np.pi / 2)):
                self.put(street.traffic_sign(r), ss, d, yaw)

    # ---- traffic ---------------------------------------------------------

    def _lane(self, k: int, direction: int) -> float:
        """Centre ``d`` of lane ``k`` (0 is the innermost)."""
        return -direction * (self.tram_half + (k + .5) * LANE)

    def ego_path(self) -> Motion:
        """Draws how the ego vehicle drives and claims its place."""
        r, t = self.rng, self.times
        mode = r.choice(['cruise', 'turn', 'slow', 'stop'],
                        p=[.56, .2, .14, .1])
        self.ego_lane = int(r.integers(self.lanes))
        d0 = self._lane(self.ego_lane, 1)
        self.ego_start = r.uniform(-5, 15)
        if mode == 'turn' and self.tram:
            mode = 'cruise'
        if mode == 'turn':
            s, w = self.crossings[0]
            v = r.uniform(5., 6.5)
            right = r.random() < .5 and self.ego_lane == self.lanes - 1
            if right:
                rad, end = 5.5, -1
                s_in = s - w / 2
            else:
                rad, end = 9., 1
                s_in = s + w / 2
            start = s_in - rad - v * r.uniform(3.5, 6.5)
            self.ego_start = start
            arc = np.linspace(0, np.pi / 2, 30)
            ps = np.concatenate([[start - 20], s_in - rad + rad * np.sin(arc),
                                 [s_in]])
            pd = np.concatenate([[d0], d0 + end * rad * (1 - np.cos(arc)),
                                 [d0 + end * (rad + 70)]])
            run = np.concatenate([[0],
                                  np.cumsum(
                                      np.hypot(np.diff(ps), np.diff(pd)))])
            along = 20 + v * t
            s_t, d_t = np.interp(along, run, ps), np.interp(along, run, pd)
            self.ego_speed = v
        else:
            v = {
                'cruise': r.uniform(6.5, 11.),
                'slow': r.uniform(2.5, 4.5),
                'stop': r.uniform(5., 7.)
            }[mode]
            along = v * t
            if mode == 'stop':
                t0 = r.uniform(3, 6)
                brake = np.clip(t - t0, 0, v / 2.)
                along = np.where(t < t0, v * t, v * t0 + v * brake - brake**2)
            self.ego_speed = v
            s_t = self.ego_start + along
            d_t = np.full_like(t, d0)
        self.ego_mode = mode
        self.ego_s = s_t
        yaw = None
        if mode == 'stop':
            yaw = np.array([self.heading(s) for s in s_t])
        motion = self.path(s_t, d_t, yaw=yaw)
        boxes = np.concatenate([
            motion.xyz[:, :2], motion.yaw[:, None],
            np.tile([6., 2.2], (len(t), 1))
        ], 1)
        # The origin is the rear axle; the middle of the car is before it.
        boxes[:, 0] += 1.4 * np.cos(motion.yaw)
        boxes[:, 1] += 1.4 * np.sin(motion.yaw)
        self._claim(boxes)
        return motion

    def _vehicle(self, kind: str):
        """Category, mesh and size of a random vehicle of a kind."""
        r = self.rng
        if kind == 'truck':
            return 'vehicle.truck', vehicles.truck(r)
        if kind == 'bus':
            return 'vehicle.bus.rigid', vehicles.bus(r)
        if kind == 'train':
            return 'vehicle.train', vehicles.train(r)
        return 'vehicle.car', vehicles.car(r)

    def _ride(self, motor: bool, s: np.ndarray, d: np.ndarray) -> bool:
        """Somebody on two wheels along a path."""
        r = self.rng
        base, size = vehicles.motorcycle(r) if motor else \
            vehicles.bicycle(r)
        who = people.Person(r)
        turn = abs(float(s[-1] - s[0])) / 11. * 2.2

        def pose_mesh(t: float, base=base, who=who, motor=motor) -> Mesh:
            return concat([base, who.riding(0. if motor else turn * t, motor)])

        size = (size[0], max(size[1], .65), 1.75)
        return self.drive(
            'vehicle.motorcycle' if motor else 'vehicle.bicycle',
            size,
            s,
            d,
            pose_mesh=pose_mesh,
            attribute='cycle.with_rider')

    def _show_feature(self) -> None:
        """Places what this scene is to show, within sight of the camera."""
        r, t = self.rng, self.times
        if self.feature in ('wall', 'fence'):
            return
        for attempt in range(60):
            ahead = r.uniform(10, 24 + attempt * .5)
            mid = np.interp(self.duration * r.uniform(.2, .6), t, self.ego_s)
            at = mid + ahead
            oncoming = r.random() < .5
            direction = -1 if oncoming else 1
            v = self.ego_speed * r.uniform(.5, 1.) * direction
            # Meets its place beside the ego's view in mid-scene.
            s = at + v * (t - self.duration * .4)
            k = int(r.integers(self.lanes))
            if self.feature == 'train':
                k_d = -direction * 1.55
                made = vehicles.train(r)
                if self.drive('vehicle.train', made[1], s,
                              np.full_like(t, k_d), made[0]):
                    return
            elif self.feature in ('bus', 'truck'):
                cat, made = self._vehicle(self.feature)
                if r.random() < .45 and self.parking[1]:
                    if self.park(
                            cat,
                            made,
                            at,
                            -(self.half[1] - 1.3),
                            0.,
                            attribute='vehicle.stopped'):
                        return
                elif self.drive(cat, made[1], s,
                                np.full_like(t, self._lane(k, direction)),
                                made[0]):
                    return
            elif self.feature in ('motorcycle', 'rider'):
                motor = self.feature == 'motorcycle'
                off = r.uniform(-.8, .8) if motor else \
                    direction * -r.uniform(.9, 1.2)
                if self._ride(
                        motor, s,
                        np.full_like(
                            t,
                            self._lane(k if motor else self.lanes - 1,
                                       direction) + off)):
                    return
            elif self.feature == 'construction':
                if self._roadworks(at):
                    return

    def _roadworks(self, s: float) -> bool:
        """Barriers, cones and an excavator on the right-hand parking."""
        r = self.rng
        side = int(r.integers(2))
        sign = 1 if side == 0 else -1
        d = sign * (self.half[side] - (1.1 if self.parking[side] else -1.6))
        made = vehicles.construction(r)
        z = 0. if self.parking[side] else CURB
        if not self.park('vehicle.construction', made, s, d,
                         r.choice([0., np.pi]), z, 'vehicle.stopped'):
            return False
        for k, ds in enumerate((-6., 6.)):
            self.park('movable_object.barrier',
                      (street.barrier(r), (.5, 2., 1.)), s + ds, d, 0., z, '')
        for k in range(6):
            self.park('movable_object.trafficcone',
                      (street.cone(), (.4, .4, .72)), s - 7 + 2.8 * k,
                      d - sign * 1.6, 0., 0., '')
        return True

    def traffic(self) -> None:
        """All vehicles and riders."""
        r, t = self.rng, self.times
        self._show_feature()
        self._parked()
        kinds = ['car', 'truck', 'bus']
        for direction in (1, -1):
            for k in range(self.lanes):
                d = self._lane(k, direction)
                v = self.ego_speed * r.uniform(.85, 1.1)
                same = direction > 0 and k == self.ego_lane
                s = -60.
                shape = v * t
                if same and self.ego_mode != 'turn':
                    shape = self.ego_s - self.ego_s[4]
                if not same and r.random() < .2:
                    v, shape = 0., np.zeros_like(t)
                while s < 210:
                    gap = r.exponential(16 / (.35 + self.city.cars)) + 7.
                    s += gap if v else gap * .5
                    start = s if direction > 0 else s + v * 8
                    kind = r.choice(kinds, p=[.91, .06, .03])
                    cat, made = self._vehicle(kind)
                    if not self.drive(
                            cat,
                            made[1],
                            start + direction * shape,
                            np.full_like(t, d + r.normal(0, .12)),
                            made[0],
                            attribute='vehicle.moving'
                            if v else 'vehicle.stopped',
                            yaw=self._yaws(start + direction * shape,
                                           direction)):
                        continue
                    s += made[1][0]
        for direction in (1, -1):
            for _ in range(int(r.poisson(1.6 if self.bike else 1.))):
                v = r.uniform(3.2, 5.5)
                s = r.uniform(-10, 120) + direction * v * t
                off = self.inner - .75 if self.bike else self.inner - .7
                self._ride(False, s, np.full_like(t, -direction * off))
            if r.random() < .3:
                v = self.ego_speed * r.uniform(.9, 1.1)
                s = r.uniform(10, 120) + direction * v * t
                lane = self._lane(int(r.integers(self.lanes)), direction)
                self._ride(True, s, np.full_like(t, lane + r.uniform(-.8, .8)))
        if self.tram and r.random() < .5:
            direction = int(r.choice([-1, 1]))
            mesh, size = vehicles.train(r)
            self.drive('vehicle.train', size,
                       r.uniform(40, 130) + direction * 6. * t,
                       np.full_like(t, -direction * 1.55), mesh)
        self._cross_traffic()

    def _yaws(self, s: np.ndarray, direction: int) -> np.ndarray:
        yaw = np.interp(s, self._line[0], self._line[3])
        return yaw + (0. if direction > 0 else np.pi)

    def _cross_traffic(self) -> None:
        """Vehicles that wait, or are parked, in the crossing streets."""
        r = self.rng
        for s, w in self.crossings:
            for sign in (-1, 1):
                # Towards the main street; keeps to the right.
                ss = s + (w / 2 if sign < 0 else -w / 2)
                d = sign * (self.half[0 if sign > 0 else 1] + 4.5)
                for _ in range(int(r.poisson(1.1))):
                    kind = r.choice(['car', 'truck', 'bus'], p=[.9, .07, .03])
                    cat, made = self._vehicle(kind)
                    d += sign * made[1][0] / 2
                    self.park(
                        cat,
                        made,
                        ss,
                        d,
                        -sign * np.pi / 2,
                        attribute='vehicle.stopped')
                    d += sign * (made[1][0] / 2 + r.uniform(1, 2.5))
                # Parked in the side street, along its curb.
                for d in np.arange(20, 70, 6.5):
                    if r.random() < .7 * self.city.cars and w > 3.6:
                        self.park('vehicle.car', vehicles.car(r),
                                  s + sign * (w - 1.), sign * d,
                                  np.pi / 2 * r.choice([-1, 1]))

    def _parked(self) -> None:
        """Parked vehicles, two-wheelers on the pavement, oddments."""
        r = self.rng
        for side in (0, 1):
            sign = 1 if side == 0 else -1
            yaw = np.pi if side == 0 else 0.
            for a, e in self.blocks:
                lo, hi = max(a + 9, -35), min(e - 9, 215)
                if self.parking[side]:
                    s = lo
                    while s < hi:
                        roll = r.random()
                        if roll < .35 + .6 * self.city.cars:
                            if roll < .03:
                                made = 'vehicle.truck', vehicles.truck(r)
                            elif roll < .045:
                                made = 'vehicle.caravan', \
                                    vehicles.caravan(r)
                            elif roll < .06:
                                made = 'vehicle.trailer', \
                                    vehicles.trailer(r)
                            elif roll < .09:
                                made = 'vehicle.motorcycle', \
                                    vehicles.motorcycle(r)
                            else:
                                made = 'vehicle.car', vehicles.car(r)
                            length = made[1][1][0]
                            s += length / 2
                            self.park(
                                *made, s,
                                sign * (self.half[side] - 1.12) +
                                r.normal(0, .07), yaw + r.normal(0, .02) +
                                (np.pi if r.random() < .1 else 0))
                            s += length / 2 + r.uniform(.5, 1.4)
                        else:
                            s += r.uniform(3, 7)
                for _ in range(int(r.poisson(max(0., hi - lo) / 45))):
                    s0 = r.uniform(lo, max(hi, lo + 1))
                    for k in range(int(r.integers(1, 6))):
                        moto = r.random() < .12
                        made = vehicles.motorcycle(r) if moto else \
                            vehicles.bicycle(r)
                        self.park(
                            'vehicle.motorcycle'
                            if moto else 'vehicle.bicycle', made, s0 + .75 * k,
                            sign * (self.half[side] + 1.25),
                            np.pi / 2 + r.normal(0, .12), CURB,
                            'cycle.without_rider')

    def pedestrians(self) -> None:
        """People on the pavement, crossing, waiting, alone and in groups."""
        r, t = self.rng, self.times
        busy = {
            'downtown': 1.3,
            'avenue': 1.,
            'residential': .55,
            'edge': .4
        }[self.district] * self.city.people
        for _ in range(int(r.poisson(34 * busy))):
            side = int(r.integers(2))
            sign = 1 if side == 0 else -1
            half = self.half[side]
            lo = self.verge[side] if self.verge[side] and \
                self.verge_at[side] == 0. else 0.
            e = half + lo + r.uniform(.7, max(.8, self.walk[side] - .5))
            s0 = float(np.interp(r.uniform(0, 8), t, self.ego_s)) + \
                r.uniform(4, 45)
            if any(abs(s0 - s) < w + 2 for s, w in self.crossings):
                continue
            group = int(r.choice([1, 2, 3], p=[.68, .24, .08]))
            v = 0. if r.random() < .22 else r.normal(1.3, .2) * \
                r.choice([-1, 1])
            for k in range(group):
                self._walk(s0 + r.normal(0, .25) + .2 * k,
                           sign * (e + .62 * k), v, 0., CURB)
        for s, w in self.crossings:
            for _ in range(int(r.poisson(4.5 * busy))):
                at = s + r.choice([-1, 1]) * (w + 2.4) + r.uniform(-1.2, 1.2)
                mid = r.uniform(-self.inner, self.inner)
                self._walk(
                    at,
                    mid,
                    0.,
                    r.choice([-1, 1]) * r.uniform(1.1, 1.6),
                    0.,
                    span=(-self.half[1] - 2., self.half[0] + 2.))
            for _ in range(int(r.poisson(3. * busy))):
                side = int(r.integers(2))
                sign = 1 if side == 0 else -1
                self._walk(
                    s + r.choice([-1, 1]) * (w + r.uniform(1.8, 3.4)),
                    sign * (self.half[side] + r.uniform(.5, 2.)),
                    0.,
                    0.,
                    CURB,
                    facing=-sign * np.pi / 2)
            for _ in range(int(r.poisson(5. * busy))):
                side = int(r.integers(2))
                sign = 1 if side == 0 else -1
                self._walk(s + r.choice([-1, 1]) * (w + r.uniform(1.2, 2.6)),
                           sign * (self.half[side] + r.uniform(9., 50.)), 0.,
                           r.normal(1.3, .2) * r.choice([-1, 1]), CURB)

    def _walk(self,
              s0: float,
              d0: float,
              vs: float,
              vd: float,
              z: float,
              facing: Optional[float] = None,
              span: Optional[Tuple[float, float]] = None) -> bool:
        """A person from (s0, d0) at the middle of the scene."""
        r, t = self.rng, self.times
        who = people.Person(r, child=bool(r.random() < .1))
        speed = float(np.hypot(vs, vd))
        attribute = 'pedestrian.moving' if speed else 'pedestrian.standing'
        kind = 'child' if who.child else 'adult'
        if not speed:
            yaw = r.uniform(0, 2 * np.pi) if facing is None else \
                facing + r.normal(0, .3)
            made = who.walking(r.uniform(0, 6), .15), who.size
            return self.park(f'human.pedestrian.{kind}', made, s0, d0, yaw, z,
                             attribute)
        s = s0 + vs * (t - self.duration / 2)
        d = d0 + vd * (t - self.duration / 2)
        zs = np.full_like(t, z)
        if span is not None:
            d = np.clip(d, *span)
            out = np.maximum(d - (span[1] - 2.), (span[0] + 2.) - d)
            zs = np.clip(out * 4, 0, 1) * CURB
        if vd:
            yaw = self._yaws(s, 1) + (np.pi / 2 if vd > 0 else -np.pi / 2)
        else:
            yaw = self._yaws(s, 1 if vs > 0 else -1)
        rate = speed * 2.2 * 2 / max(who.height, 1.) * .9

        def pose_mesh(time: float, who=who, rate=rate) -> Mesh:
            return who.walking(rate * time)

        ok = self.drive(
            f'human.pedestrian.{kind}',
            who.size,
            s,
            d,
            pose_mesh=pose_mesh,
            attribute=attribute,
            yaw=yaw)
        if ok:
            self.objects[-1].motion.xyz[:, 2] = zs
        return ok

    def build(self, name: str) -> World:
        """Runs all steps.

        Args:
            name (str): Name of the scene.

        Returns:
            World: The scene.
        """
        self.ground()
        ego = self.ego_path()
        self.surroundings()
        self.furniture()
        self.traffic()
        self.pedestrians()
        lamps = np.array(self.lamps).reshape(-1, 3)
        return World(name, self.city.name, concat(self.parts), self.objects,
                     ego, self.conditions, self.duration, lamps, self.areas)
