"""Spinning LiDAR: beams, returns, and the motion of the car."""
from dataclasses import dataclass, field
from typing import Tuple

import numpy as np

from ..labels import LABEL_IDS
from ..materials import Mat
from .camera import rotation_about
from .geometry import Hits, WorldGeometry

#: Fraction of the laser's light (905 nm) that a material reflects back:
#: leaves are bright in near infrared, signs and plates are retro-reflecting,
#: glass and car paint reflect most of it in other directions.
REFLECTIVITY = {
    Mat.PLAIN: .30,
    Mat.ASPHALT: .12,
    Mat.PAVING: .30,
    Mat.GRASS: .45,
    Mat.FACADE: .35,
    Mat.BRICK: .35,
    Mat.ROOF: .30,
    Mat.FOLIAGE: .50,
    Mat.GLASS: .05,
    Mat.CARPAINT: .28,
    Mat.SIGN: 1.,
    Mat.METAL: .40,
    Mat.CLOTH: .35,
    Mat.LAMP: .80,
    Mat.POSTER: .30,
    Mat.PAINT: .60,
    Mat.WOOD: .40,
    Mat.GRAVEL: .25,
    Mat.STRIPES: .70,
    Mat.BARK: .30,
    Mat.CONTAINER: .35,
}
_REFLECTIVITY = np.zeros(256)
for _material, _share in REFLECTIVITY.items():
    _REFLECTIVITY[_material] = _share

#: Materials whose visible colour is unrelated to their reflectance at 905 nm.
_COLOURLESS = np.zeros(256, bool)
_COLOURLESS[[Mat.GLASS, Mat.SIGN, Mat.LAMP, Mat.FOLIAGE, Mat.GRASS]] = True

#: Squared distance, in square metres, up to which a full echo is always #:
#: detected.
_SENSITIVITY = 3e4


@dataclass
class Sweep:
    """Points of one rotation, N in all, in the order they were measured.

    Args:
        points (np.ndarray): float32, (N, 3), metres in the sensor's frame at
            the time of the sweep.
        intensity (np.ndarray): float32, (N, ), 0 to 255 in whole numbers.
        ring (np.ndarray): uint8, (N, ), beam, 0 for the lowest.
        offset (np.ndarray): float32, (N, ), seconds from the time of the
            sweep to that of the point, never positive.
        instance (np.ndarray): int32, (N, ), track id, 0 for none.
        label (np.ndarray): uint8, (N, ), Cityscapes label id.
    """
    points: np.ndarray
    intensity: np.ndarray
    ring: np.ndarray
    offset: np.ndarray
    instance: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    @property
    def reflectance(self) -> np.ndarray:
        """Intensity from 0 to 1 as in KITTI, float32, (N, )."""
        return self.intensity / np.float32(255)


@dataclass(frozen=True)
class SpinningLidar:
    """A LiDAR whose fan of beams turns clockwise about its z axis.

    Args:
        elevations (tuple[float]): Angle of each beam over the horizon of the
            sensor, degrees, rising.
        azimuth_steps (int): Measurements of each beam in a rotation.
        position (tuple[float]): Of the sensor in the ego frame, metres.
        yaw (float): From the ego frame to the sensor's, radians; with
            -pi / 2 the sensor's y axis points to the front. Defaults to 0.
        min_range (float): Metres. Defaults to 1.
        max_range (float): Metres. Defaults to 80.
        range_noise (float): Standard deviation of the range, metres.
            Defaults to 0.02.
        drop_out (float): Fraction of returns that are lost at random.
            Defaults to 0.02.
        period (float): Seconds of a rotation. Defaults to 0.05.
    """
    elevations: Tuple[float, ...] = field(repr=False)
    azimuth_steps: int
    position: Tuple[float, float, float]
    yaw: float = 0.
    min_range: float = 1.
    max_range: float = 80.
    range_noise: float = .02
    drop_out: float = .02
    period: float = .05

    @classmethod
    def hdl32(cls,
              azimuth_steps: int = 1084,
              position: Tuple[float, float, float] = (.94, 0., 1.84),
              yaw: float = -np.pi / 2,
              **kwargs) -> 'SpinningLidar':
        """32 beams from -30.67 to 10.67 degrees, mounted as in nuScenes.

        Args:
            azimuth_steps (int): Defaults to 1084, as the original has.
            position (tuple[float]): Defaults to nuScenes' ``LIDAR_TOP``.
            yaw (float): Defaults to -pi / 2: x right, y front, z up.
            **kwargs: Further arguments of the class.
        """
        kwargs.setdefault('max_range', 70.)
        return cls(
            tuple(np.linspace(-30.67, 10.67, 32).tolist()), azimuth_steps,
            position, yaw, **kwargs)

    @classmethod
    def hdl64(cls,
              azimuth_steps: int = 2083,
              position: Tuple[float, float, float] = (.76, 0., 1.73),
              yaw: float = 0.,
              **kwargs) -> 'SpinningLidar':
        """64 beams from -24.8 to 2 degrees, mounted as in KITTI.

        Half of the beams look above -8.5 degrees, where they are denser.

        Args:
            azimuth_steps (int): Defaults to 2083, as the original has.
            position (tuple[float]): Defaults to KITTI's Velodyne.
            yaw (float): Defaults to 0: x front, y left, z up.
            **kwargs: Further arguments of the class.
        """
        kwargs.setdefault('period', .1)
        low = np.linspace(-24.8, -8.83, 32)
        high = np.linspace(-8.33, 2., 32)
        return cls(
            tuple(np.concatenate([low, high]).tolist()), azimuth_steps,
            position, yaw, **kwargs)

    @property
    def rotation(self) -> np.ndarray:
        """Rotation from the sensor to the ego frame, (3, 3)."""
        return rotation_about(2, self.yaw)

    def directions(self) -> np.ndarray:
        """Unit vectors of the rays in the sensor's frame.

        Returns:
            np.ndarray: (azimuth_steps, beams, 3), in the order of time; the
            first column looks to the rear of the car.
        """
        turned = np.arange(self.azimuth_steps) / self.azimuth_steps
        azimuth = np.pi - 2 * np.pi * turned - self.yaw
        elevation = np.radians(self.elevations)
        flat = np.cos(elevation)
        return np.stack(
            np.broadcast_arrays(
                np.cos(azimuth)[:, None] * flat,
                np.sin(azimuth)[:, None] * flat, np.sin(elevation)), -1)

    def to_sensor(self, geometry: WorldGeometry, t: float,
                  points: np.ndarray) -> np.ndarray:
        """Points (N, 3) of the world in the sensor's frame at a time."""
        rotation, translation = geometry.ego_pose(t)
        in_ego = (points - translation).dot(rotation)
        return (in_ego - np.asarray(self.position)).dot(self.rotation)

    def scan(self,
             geometry: WorldGeometry,
             t: float,
             rng: np.random.Generator,
             motion: bool = False,
             object_steps: int = 6) -> Sweep:
        """Scan one rotation.

        The ego vehicle has no geometry, so it is never hit.

        Args:
            geometry (WorldGeometry): The world; moved to ``t``.
            t (float): Seconds; the end of the rotation. Points are given in
                the sensor's frame at this time.
            rng (np.random.Generator): Noise. The number of draws does not
                depend on the world.
            motion (bool): Whether the car and the objects move during the
                rotation: each column is cast from the car's position at its
                time. The points are corrected for the car's own motion, as in
                nuScenes and KITTI; moving objects are smeared. Defaults to
                False: everything is measured at ``t``.
            object_steps (int): Number of times that objects are moved in a
                rotation, with ``motion``. Defaults to 6.

        Returns:
            Sweep: The returns.
        """
        local = self.directions()
        steps, beams = local.shape[:2]
        offset = np.zeros(steps)
        if motion:
            offset = ((np.arange(steps) + 1.) / steps - 1.) * self.period
        parts = np.array_split(
            np.arange(steps),
            min(object_steps, steps) if motion else 1)
        hits = Hits.concatenate([
            self._cast(geometry, t + offset[part], local[part])
            for part in parts
        ])
        distance = hits.distance.astype(np.float64)
        spread, jitter = rng.normal(size=(2, steps * beams))
        chance = rng.random(steps * beams)
        strength = self._strength(geometry, hits, local)
        # A weak echo is lost in the receiver's noise.
        seen = np.clip(strength * _SENSITIVITY / np.maximum(distance, 1.)**2,
                       0., 1.)
        seen[hits.material == Mat.GLASS] *= .5
        rows = np.flatnonzero((distance >= self.min_range)
                              & (distance <= self.max_range)
                              & (chance < (1 - self.drop_out) * seen))
        measured = distance[rows] + spread[rows] * self.range_noise
        points = local.reshape(-1, 3)[rows] * measured[:, None]
        if motion:
            turns, origins = self._poses(geometry, t + offset)
            column = rows // beams
            points = np.matmul(turns[column], points[..., None])[..., 0]
            points = self.to_sensor(geometry, t, points + origins[column])
        intensity = np.rint(255 * strength[rows] + 2 * jitter[rows])
        return Sweep(
            points.astype(np.float32),
            np.clip(intensity, 0,
                    255).astype(np.float32), (rows % beams).astype(np.uint8),
            offset[rows // beams].astype(np.float32), hits.instance[rows],
            hits.label[rows])

    def _poses(self, geometry: WorldGeometry,
               times: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
        """Rotations (T, 3, 3) and origins (T, 3), sensor to world."""
        moments, which = np.unique(times, return_inverse=True)
        turns, origins = [], []
        for moment in moments.tolist():
            rotation, translation = geometry.ego_pose(moment)
            turns.append(rotation.dot(self.rotation))
            origins.append(translation +
                           rotation.dot(np.asarray(self.position)))
        return np.stack(turns)[which], np.stack(origins)[which]

    def _cast(self, geometry: WorldGeometry, times: np.ndarray,
              local: np.ndarray) -> Hits:
        """Hits of columns (T, B, 3) of rays at times (T, ).

        Their normals are in the sensor's frame.
        """
        geometry.set_time(float(times.mean()))
        turns, origins = self._poses(geometry, times)
        rays = np.matmul(local, turns.transpose(0, 2, 1))
        origins = np.repeat(origins, local.shape[1], 0)
        hits = geometry.cast(origins, rays.reshape(-1, 3))
        normal = hits.normal.reshape(local.shape)
        hits.normal = np.matmul(normal, turns).reshape(-1, 3)
        return hits

    @staticmethod
    def _strength(geometry: WorldGeometry, hits: Hits,
                  local: np.ndarray) -> np.ndarray:
        """Fraction (N, ) of the light that returns, 0 to 1."""
        weather = geometry.world.conditions
        facing = np.abs((hits.normal * local.reshape(-1, 3)).sum(1))
        tone = np.where(_COLOURLESS[hits.material], 1.,
                        .55 + 1.2 * np.clip(hits.color.mean(1), 0, .8))
        share = _REFLECTIVITY[hits.material] * tone * (.15 + .85 * facing)
        # Water on the ground reflects the light away.
        flat = np.isin(hits.label, (LABEL_IDS['road'], LABEL_IDS['sidewalk']))
        share = share * np.where(flat, 1 - .5 * weather.wet, 1.)
        return np.clip(
            share * np.exp(-hits.distance / (2 * weather.visibility)), 0., 1.)
