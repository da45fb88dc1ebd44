"""The world: static geometry, objects that move, light and weather.

Frames are right-handed, metres and radians. World and ego: x front, y left,
z up, yaw about z. One geometry serves all sensors.
"""
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np

from .meshes import Mesh


@dataclass
class Motion:
    """A path over time, interpolated between samples.

    Args:
        times (np.ndarray): (T, ), seconds, rising.
        xyz (np.ndarray): (T, 3), metres in the world frame.
        yaw (np.ndarray): (T, ), radians, unwrapped.
    """
    times: np.ndarray
    xyz: np.ndarray
    yaw: np.ndarray

    @classmethod
    def standing(cls,
                 x: float,
                 y: float,
                 yaw: float,
                 z: float = 0.) -> 'Motion':
        """A motion that stays in one place."""
        return cls(
            np.zeros(1), np.array([[x, y, z]], float), np.array([yaw], float))

    @property
    def moves(self) -> bool:
        """Whether the position changes."""
        return len(self.times) > 1

    def pose(self, t: float) -> Tuple[np.ndarray, float]:
        """Position and heading.

        Args:
            t (float): Seconds.

        Returns:
            tuple: (x, y, z) in metres, yaw in radians.
        """
        xyz = np.array(
            [np.interp(t, self.times, self.xyz[:, i]) for i in range(3)])
        return xyz, float(np.interp(t, self.times, self.yaw))

    def velocity(self, t: float) -> np.ndarray:
        """Velocity (vx, vy, vz) in m/s in the world frame, at ``t``."""
        if not self.moves:
            return np.zeros(3)
        return (self.pose(t + .05)[0] - self.pose(t - .05)[0]) / .1

    def speed(self, t: float) -> float:
        """Speed in m/s at ``t``."""
        return float(np.sqrt((self.velocity(t)**2).sum()))


@dataclass
class SceneObject:
    """One object with a track through the scene.

    Args:
        track_id (int): Unique within the scene, from 1.
        category (str): See :data:`.labels.CATEGORY_LABELS`.
        size (tuple[float]): (l, w, h) of its box, metres.
        motion (Motion): Its motion.
        mesh (Mesh, optional): Rigid shape in its own frame.
        pose_mesh (Callable, optional): Shape of articulated objects as a
            function of the time in seconds; returns a Mesh.
        attribute (str): Name as in nuScenes, such as ``vehicle.parked``.
    """
    track_id: int
    category: str
    size: Tuple[float, float, float]
    motion: Motion
    mesh: Optional[Mesh] = None
    pose_mesh: Optional[Callable[[float], Mesh]] = None
    attribute: str = ''

    @property
    def is_static(self) -> bool:
        """Whether its geometry is the same at all times."""
        return not self.motion.moves and self.pose_mesh is None

    def mesh_at(self, t: float) -> Mesh:
        """Its geometry in the world frame.

        Args:
            t (float): Seconds.
        """
        mesh = self.mesh if self.pose_mesh is None else self.pose_mesh(t)
        xyz, yaw = self.motion.pose(t)
        return mesh.moved(xyz, yaw)


@dataclass
class Conditions:
    """Light and weather.

    Args:
        name (str): ``clear``, ``overcast``, ``golden``, ``fog``, ``rain``
            or ``night``.
        sun_dir (np.ndarray): (3, ), unit vector towards the sun.
        sun (np.ndarray): (3, ), its light, linear RGB.
        ambient (np.ndarray): (3, ), light of the sky, linear RGB.
        sky_top (np.ndarray): (3, ), colour of the zenith.
        sky_horizon (np.ndarray): (3, ), colour at the horizon.
        clouds (float): Fraction of the sky covered by clouds.
        visibility (float): Metres after which haze hides 63 %.
        night (float): 0 by day, 1 at night.
        wet (float): 0 dry, 1 wet.
        seed (int): For the pattern of the clouds.
    """
    name: str
    sun_dir: np.ndarray
    sun: np.ndarray
    ambient: np.ndarray
    sky_top: np.ndarray
    sky_horizon: np.ndarray
    clouds: float = .3
    visibility: float = 2000.
    night: float = 0.
    wet: float = 0.
    seed: int = 0


@dataclass
class World:
    """Everything in a scene.

    Args:
        name (str): Name of the scene.
        city (str): Name of its city.
        static (Mesh): Ground, buildings, plants and furniture.
        objects (list[SceneObject]): All objects with a track.
        ego (Motion): Path of the ego vehicle (rear axle on the ground).
        conditions (Conditions): Light and weather.
        duration (float): Seconds.
        lamps (np.ndarray): (L, 3), street lamps in the world frame.
        areas (dict): Polygons (P, 2) of the ground by kind, for maps.
    """
    name: str
    city: str
    static: Mesh
    objects: List[SceneObject]
    ego: Motion
    conditions: Conditions
    duration: float
    lamps: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))
    areas: Dict[str, List[np.ndarray]] = field(default_factory=dict)


@dataclass
class Frame:
    """An image with its ground truth, for the writers.

    Args:
        split (str): ``train``, ``val`` or ``test``.
        city (str): City.
        sequence (int): Number of the scene within the city.
        index (int): Number of the key frame within the scene.
        time (float): Seconds since the scene began.
        image (np.ndarray): uint8, (H, W, 3), RGB.
        label (np.ndarray): uint8, (H, W), Cityscapes label ids.
        instance (np.ndarray): int32, (H, W), track id, 0 for none.
        depth (np.ndarray): float32, (H, W), metres along the view axis,
            infinite in the sky.
        camera (dict): Intrinsics, extrinsics, ego pose.
    """
    split: str
    city: str
    sequence: int
    index: int
    time: float
    image: np.ndarray
    label: np.ndarray
    instance: np.ndarray
    depth: np.ndarray
    camera: dict

    @property
    def name(self) -> str:
        """``<city>_SSSSSS_FFFFFF``, as in Cityscapes."""
        return f'{self.city}_{self.sequence:06d}_{self.index:06d}'


def random_conditions(rng: np.random.Generator, name: str) -> Conditions:
    """Light and weather of a kind.

    Args:
        rng (np.random.Generator): Source of the details.
        name (str): See :class:`Conditions`.

    Returns:
        Conditions: Randomly varied.
    """
    azimuth = rng.uniform(0, 2 * np.pi)
    height = rng.uniform(.45, 1.15)
    c = Conditions(
        name,
        np.zeros(3),
        np.array([1.25, 1.18, 1.05]) * rng.uniform(.9, 1.3),
        np.array([.36, .42, .52]) * rng.uniform(.8, 1.2),
        np.array([.14, .30, .62]),
        np.array([.58, .70, .84]),
        clouds=rng.uniform(0., .6),
        visibility=rng.uniform(500, 2500),
        seed=int(rng.integers(1000)))
    if name == 'overcast':
        c.sun = c.sun * 0.
        c.ambient = np.array([.82, .85, .90]) * rng.uniform(.75, 1.1)
        grey = rng.uniform(.6, .85)
        c.sky_top = np.array([.85, .9, .97]) * grey
        c.sky_horizon = np.array([.95, .97, 1.]) * grey
        c.clouds, c.visibility = .9, rng.uniform(250, 900)
    elif name == 'golden':
        height = rng.uniform(.14, .34)
        c.sun = np.array([1.35, .86, .45]) * rng.uniform(.9, 1.2)
        c.ambient = np.array([.30, .31, .40])
        c.sky_top = np.array([.20, .30, .52])
        c.sky_horizon = np.array([.95, .66, .40])
        c.visibility = rng.uniform(250, 900)
    elif name == 'fog':
        c.sun = c.sun * 0.
        grey = rng.uniform(.55, .8)
        c.ambient = np.array([.8, .82, .85]) * rng.uniform(.8, 1.)
        c.sky_top = c.sky_horizon = np.array([.95, .97, 1.]) * grey
        c.clouds, c.visibility = 0., rng.uniform(35, 90)
    elif name == 'rain':
        c.sun = c.sun * 0.
        grey = rng.uniform(.38, .6)
        c.ambient = np.array([.58, .62, .68]) * rng.uniform(.8, 1.1)
        c.sky_top = np.array([.8, .86, .95]) * grey
        c.sky_horizon = np.array([.92, .95, 1.]) * grey
        c.clouds, c.visibility, c.wet = 1., rng.uniform(120, 300), 1.
    elif name == 'night':
        c.sun = c.sun * 0.
        c.ambient = np.array([.045, .050, .075]) * rng.uniform(.7, 1.6)
        c.sky_top = np.array([.008, .010, .022])
        c.sky_horizon = np.array([.05, .042, .05]) * rng.uniform(.6, 1.6)
        c.clouds, c.night = .5, 1.
        c.wet = 1. if rng.random() < .25 else 0.
        c.visibility = rng.uniform(300, 1500)
    c.sun_dir = np.array([
        np.cos(azimuth) * np.cos(height),
        np.sin(azimuth) * np.cos(height),
        np.sin(height)
    ])
    return c
