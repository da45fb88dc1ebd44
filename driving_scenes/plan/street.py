"""The frozen plan of a scene: its street and the path of the ego vehicle.

A plan is in street coordinates: ``s`` metres along the main street, ``d``
metres to its left; crossing streets run along ``d``. A smooth centre line
bends the plan into the world frame.
"""
from dataclasses import dataclass
from typing import List, Optional, Tuple

import numpy as np

from ..labels import LABEL_IDS
from ..seeds import Seed, named
from ..world import Conditions, Motion, random_conditions
from .city import CityStyle

ROAD = LABEL_IDS['road']
#: Height of the pavement, metres.
CURB = .13
#: Ends of the main street and of the crossing ones, metres.
S_MIN, S_MAX, SIDE = -70., 250., 95.
LANE = 3.2
#: From the centre line to the middle of each track of the tram, metres.
TRACK = 1.55

CONDITIONS = ('clear', 'overcast', 'clear', 'golden', 'rain', 'clear',
              'overcast', 'night', 'clear', 'fog', 'overcast')

#: What a scene shows for certain, in turns: a split of twelve scenes lacks no
#: class.
FEATURES = ('bus', 'train', 'motorcycle', 'truck', 'rider', 'bus', 'wall',
            'train', 'motorcycle', 'truck', 'fence', 'construction')


@dataclass(frozen=True)
class CenterLine:
    """The centre line of the main street in the world.

    Args:
        s (np.ndarray): (N, ), metres along it, increasing.
        x (np.ndarray): (N, ), metres.
        y (np.ndarray): (N, ), metres.
        yaw (np.ndarray): (N, ), its direction, radians.
    """
    s: np.ndarray
    x: np.ndarray
    y: np.ndarray
    yaw: np.ndarray


@dataclass(frozen=True)
class Crossing:
    """A street that crosses the main one: middle and half width, metres."""
    s: float
    half: float


@dataclass(frozen=True)
class Side:
    """One side of the carriageway.

    Args:
        sign (int): 1 on the left, -1 on the right.
        parking (bool): Whether cars park along it.
        half (float): From the centre line to the curb, metres.
        walk (float): Width of the pavement, metres.
        verge (float): Width of the strip of grass, metres; 0 for none.
        verge_at (float): From the curb to the strip, metres.
    """
    sign: int
    parking: bool
    half: float
    walk: float
    verge: float
    verge_at: float

    @property
    def front(self) -> float:
        """From the centre line to the lots, metres."""
        return self.half + self.walk + self.verge


@dataclass(frozen=True)
class Street:
    """A main street with its crossings.

    Args:
        line (CenterLine): Its middle.
        district (str): ``downtown``, ``residential``, ``avenue`` or ``edge``.
        tram (bool): Whether tracks run along its middle.
        lanes (int): Lanes in each direction.
        bike (bool): Whether it has bicycle lanes.
        parking_label (int): Label of the parking bays.
        sides (tuple[Side, Side]): Left and right.
        crossings (tuple[Crossing, ...]): In the order of ``s``.
        signals (bool): Whether the crossings have traffic lights.
        green (bool): Whether the lights are green along the main street.
        wear (float): Wear of the paint, 0 to 1.
        tar (float): Appearance of the asphalt, 0 to 1.
    """
    line: CenterLine
    district: str
    tram: bool
    lanes: int
    bike: bool
    parking_label: int
    sides: Tuple[Side, Side]
    crossings: Tuple[Crossing, ...]
    signals: bool
    green: bool
    wear: float
    tar: float

    @property
    def tram_half(self) -> float:
        """Half the width of the tram's tracks, metres."""
        return 3.1 if self.tram else 0.

    @property
    def inner(self) -> float:
        """From the centre line to the parking bays, metres."""
        return self.tram_half + self.lanes * LANE + (1.5 if self.bike else 0)

    @property
    def blocks(self) -> List[Tuple[float, float]]:
        """First and last ``s`` of the blocks between the crossings."""
        edges = [S_MIN]
        for c in self.crossings:
            edges += [c.s - c.half, c.s + c.half]
        edges.append(S_MAX)
        return list(zip(edges[::2], edges[1::2]))

    def lane(self, k: int, direction: int) -> float:
        """Middle ``d`` of lane ``k`` (0 is the innermost)."""
        return -direction * (self.tram_half + (k + .5) * LANE)

    def to_world(self, s, d) -> Tuple[np.ndarray, np.ndarray]:
        """World x, y of street coordinates, metres."""
        line = self.line
        s, d = np.asarray(s, float), np.asarray(d, float)
        yaw = np.interp(s, line.s, line.yaw)
        return (np.interp(s, line.s, line.x) - d * np.sin(yaw),
                np.interp(s, line.s, line.y) + d * np.cos(yaw))

    def heading(self, s: float) -> float:
        """Direction of the street at ``s``, radians."""
        return float(np.interp(s, self.line.s, self.line.yaw))

    def yaws(self, s: np.ndarray, direction: int) -> np.ndarray:
        """Headings (T, ) of vehicles along the street at ``s`` (T, )."""
        yaw = np.interp(s, self.line.s, self.line.yaw)
        return yaw + (0. if direction > 0 else np.pi)

    def crosses(self, s: float, margin: float) -> bool:
        """Whether ``s`` is within ``margin`` metres of a crossing."""
        return any(abs(s - c.s) < c.half + margin for c in self.crossings)


@dataclass(frozen=True)
class EgoPlan:
    """The motion of the ego vehicle.

    Args:
        mode (str): ``cruise``, ``turn``, ``slow`` or ``stop``.
        lane (int): Its lane; 0 is the innermost.
        speed (float): Before it turns or brakes, m/s.
        s (np.ndarray): (T, ), street coordinates at :attr:`Plan.times`.
        d (np.ndarray): (T, ), metres.
    """
    mode: str
    lane: int
    speed: float
    s: np.ndarray
    d: np.ndarray


@dataclass(frozen=True)
class Plan:
    """All decisions that precede the placement of objects.

    Args:
        city (CityStyle): The city.
        feature (str): The guaranteed feature, one of :data:`FEATURES`.
        conditions (Conditions): Light and weather.
        duration (float): Seconds.
        street (Street): The street.
        ego (EgoPlan): How the ego vehicle drives along it.
    """
    city: CityStyle
    feature: str
    conditions: Conditions
    duration: float
    street: Street
    ego: EgoPlan

    @property
    def times(self) -> np.ndarray:
        """Times at which paths are sampled, seconds, (T, )."""
        return _times(self.duration)

    def path(self,
             s: np.ndarray,
             d: np.ndarray,
             yaw: Optional[np.ndarray] = None) -> Motion:
        """Motion along street coordinates (T, ) at :attr:`times`."""
        x, y = self.street.to_world(s, d)
        if yaw is None:
            yaw = np.arctan2(np.gradient(y), np.gradient(x))
        return Motion(self.times, np.stack([x, y, np.zeros(len(x))], 1),
                      np.unwrap(yaw))

    def ego_motion(self) -> Motion:
        """Motion of the rear axle of the ego vehicle."""
        yaw = self.street.yaws(self.ego.s, 1)
        return self.path(self.ego.s, self.ego.d,
                         yaw if self.ego.mode == 'stop' else None)

    def near_ego(self, rng: np.random.Generator, low: float,
                 high: float) -> float:
        """A position ``low`` to ``high`` metres ahead of the ego vehicle."""
        when = rng.uniform(0, self.duration)
        return float(np.interp(when, self.times, self.ego.s)) + \
            rng.uniform(low, high)


def draw_plan(city: CityStyle,
              seed: Seed,
              feature: str,
              conditions: str,
              duration: float = 10.,
              trams: bool = True) -> Plan:
    """Draw the plan of a scene.

    Args:
        city (CityStyle): The city.
        seed (Sequence[int]): Numbers of the scene.
        feature (str): The guaranteed feature, one of :data:`FEATURES`.
        conditions (str): One of :data:`CONDITIONS`.
        duration (float): Seconds. Defaults to 10.
        trams (bool): Whether streets may have trams. Defaults to True.
    """
    street = _draw_street(seed, feature, trams)
    return Plan(city, feature,
                random_conditions(named(seed, 'conditions'), conditions),
                duration, street,
                _draw_ego(street, _times(duration), named(seed, 'ego')))


def _times(duration: float) -> np.ndarray:
    return np.arange(-1., duration + 1.01, .25)


def _draw_line(rng: np.random.Generator) -> CenterLine:
    grid = np.arange(-150., 350., .5)
    curve = np.zeros_like(grid)
    if rng.random() < .55:
        radius = rng.uniform(150, 400)
        curve = np.sin(2 * np.pi * grid / rng.uniform(150, 320) +
                       rng.uniform(0, 2 * np.pi)) / radius
    yaw = np.concatenate([[0], np.cumsum(curve[:-1] * .5)])
    yaw -= np.interp(0, grid, yaw)
    x = np.concatenate([[0], np.cumsum(np.cos(yaw[:-1]) * .5)])
    y = np.concatenate([[0], np.cumsum(np.sin(yaw[:-1]) * .5)])
    return CenterLine(grid, x - np.interp(0, grid, x),
                      y - np.interp(0, grid, y), yaw)


def _draw_side(rng: np.random.Generator, sign: int, district: str,
               inner: float) -> Side:
    wide = {
        'downtown': (2.4, 4.6),
        'residential': (1.6, 2.6),
        'avenue': (3., 5.),
        'edge': (1.5, 2.4)
    }[district]
    green = {
        'downtown': .12,
        'residential': .45,
        'avenue': .4,
        'edge': .9
    }[district]
    parking = bool(district != 'edge' and rng.random() < .75)
    walk = rng.uniform(*wide)
    verge = rng.uniform(1.2, 2.8) if rng.random() < green else 0.
    # The verge lies beside the road, or behind the pavement.
    beside = verge > 0 and rng.random() < .5
    return Side(sign, parking, inner + (2.2 if parking else .3), walk, verge,
                0. if beside else walk)


def _draw_street(seed: Seed, feature: str, trams: bool) -> Street:
    rng = named(seed, 'street')
    district = str(
        rng.choice(['downtown', 'residential', 'avenue', 'edge'],
                   p=[.36, .28, .2, .16]))
    if feature == 'train':
        district = 'avenue'
    elif feature in ('wall', 'fence') and district == 'downtown':
        district = str(rng.choice(['residential', 'edge']))
    avenue = district == 'avenue'
    tram = trams and avenue and (feature == 'train' or rng.random() < .3)
    lanes = int(rng.choice([1, 2], p=[.5, .5] if avenue else [.7, .3]))
    bike = bool(rng.random() < .35)
    inner = (3.1 if tram else 0.) + lanes * LANE + (1.5 if bike else 0)
    return Street(
        _draw_line(named(seed, 'line')), district, tram, lanes, bike,
        LABEL_IDS['parking'] if rng.random() < .3 else ROAD,
        (_draw_side(named(seed, 'left side'), 1, district, inner),
         _draw_side(named(seed, 'right side'), -1, district, inner)),
        _draw_crossings(named(seed, 'crossings')), bool(rng.random() < .7),
        bool(rng.random() < .6), rng.uniform(.0, .4), rng.random())


def _draw_crossings(rng: np.random.Generator) -> Tuple[Crossing, ...]:
    s, found = rng.uniform(38, 75), []
    while s < S_MAX - 40:
        found.append(Crossing(s, rng.uniform(3.2, 4.8)))
        s += rng.uniform(60, 105)
    return tuple(found)


def _draw_ego(street: Street, times: np.ndarray,
              rng: np.random.Generator) -> EgoPlan:
    mode = str(
        rng.choice(['cruise', 'turn', 'slow', 'stop'], p=[.56, .2, .14, .1]))
    if mode == 'turn' and street.tram:
        mode = 'cruise'
    lane = int(rng.integers(street.lanes))
    if mode == 'turn':
        return _draw_turn(street, lane, times, rng)
    start = rng.uniform(-5, 15)
    speed = {
        'cruise': rng.uniform(6.5, 11.),
        'slow': rng.uniform(2.5, 4.5),
        'stop': rng.uniform(5., 7.)
    }[mode]
    along = speed * times
    if mode == 'stop':
        t0 = rng.uniform(3, 6)
        brake = np.clip(times - t0, 0, speed / 2.)
        along = np.where(times < t0, along,
                         speed * t0 + speed * brake - brake**2)
    return EgoPlan(mode, lane, speed, start + along,
                   np.full_like(times, street.lane(lane, 1)))


def _draw_turn(street: Street, lane: int, times: np.ndarray,
               rng: np.random.Generator) -> EgoPlan:
    """Into the first crossing street, along an arc."""
    crossing, d0 = street.crossings[0], street.lane(lane, 1)
    speed = rng.uniform(5., 6.5)
    if rng.random() < .5 and lane == street.lanes - 1:
        radius, end = 5.5, -1
    else:
        radius, end = 9., 1
    s_in = crossing.s + end * crossing.half / 2
    start = s_in - radius - speed * rng.uniform(3.5, 6.5)
    arc = np.linspace(0, np.pi / 2, 30)
    s = np.concatenate([[start - 20], s_in - radius + radius * np.sin(arc),
                        [s_in]])
    d = np.concatenate([[d0], d0 + end * radius * (1 - np.cos(arc)),
                        [d0 + end * (radius + 70)]])
    run = np.append(0, np.cumsum(np.hypot(np.diff(s), np.diff(d))))
    along = 20 + speed * times
    return EgoPlan('turn', lane, speed, np.interp(along, run, s),
                   np.interp(along, run, d))
