"""Pinhole camera: rays, shading, lens and sensor."""
from dataclasses import dataclass, field
from typing import Tuple

import cv2
import numpy as np

from ..labels import LABEL_IDS
from ..materials import Points, noise, shade
from ..world import Conditions, World
from .geometry import Hits, WorldGeometry

SKY = LABEL_IDS['sky']
# Camera axes (x right, y down, z front) in the ego frame.
_AXES = np.array([[0., 0., 1.], [-1., 0., 0.], [0., -1., 0.]])


def rotation_about(axis: int, angle: float) -> np.ndarray:
    """Rotation matrix about one axis, right-handed, radians."""
    c, s = np.cos(angle), np.sin(angle)
    m = np.eye(3)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    m[i, i], m[i, j], m[j, i], m[j, j] = c, -s, s, c
    return m


@dataclass
class PinholeCamera:
    """A camera on the ego vehicle.

    Args:
        height (int): Height of the image in pixels.
        width (int): Width in pixels.
        fov (float): Horizontal field of view, degrees. Defaults to 54.
        position (tuple[float]): In the ego frame, metres.
        yaw (float): To the left, radians. Defaults to 0.
        pitch (float): Downwards, radians. Defaults to 0.035.
        roll (float): About the view axis, radians. Defaults to 0.
    """
    height: int
    width: int
    fov: float = 54.
    position: Tuple[float, float, float] = (1.7, 0., 1.45)
    yaw: float = 0.
    pitch: float = .035
    roll: float = 0.

    @property
    def intrinsics(self) -> np.ndarray:
        """Camera matrix, (3, 3), pixels; pixel centres at whole numbers."""
        f = self.width / 2 / np.tan(np.radians(self.fov) / 2)
        return np.array([[f, 0., (self.width - 1) / 2],
                         [0., f, (self.height - 1) / 2], [0., 0., 1.]])

    @property
    def rotation(self) -> np.ndarray:
        """Rotation from the camera to the ego frame, (3, 3)."""
        turned = rotation_about(2, self.yaw).dot(rotation_about(1, self.pitch))
        return turned.dot(rotation_about(0, self.roll)).dot(_AXES)

    def rays(self, factor: int) -> np.ndarray:
        """Directions through sub-pixels in the camera frame.

        Args:
            factor (int): Sub-pixels along each side of a pixel.

        Returns:
            np.ndarray: (H, W, factor ** 2, 3), with z = 1.
        """
        k = self.intrinsics
        off = (np.arange(factor) + .5) / factor - .5
        du, dv = np.meshgrid(off, off)
        u = np.arange(self.width)[None, :, None] + du.reshape(-1)
        v = np.arange(self.height)[:, None, None] + dv.reshape(-1)
        shape = (self.height, self.width, factor**2)
        x = np.broadcast_to((u - k[0, 2]) / k[0, 0], shape)
        y = np.broadcast_to((v - k[1, 2]) / k[1, 1], shape)
        return np.stack([x, y, np.ones(shape)], -1)


@dataclass
class Exposure:
    """Parameters of lens and sensor.

    Args:
        gain (float): Factor on the light after metering.
        white (np.ndarray): (3, ), white balance.
        blur (float): Gaussian blur, standard deviation in pixels.
        motion (float): Length of horizontal motion blur, pixels.
        vignette (float): Loss of light in the corners, 0 to 1.
        read_noise (float): Noise of dark pixels, of 255.
        shot_noise (float): Noise of white pixels, of 255.
        saturation (float): Strength of colours. Defaults to 1.
    """
    gain: float = 1.
    white: np.ndarray = field(default_factory=lambda: np.ones(3))
    blur: float = .4
    motion: float = 0.
    vignette: float = .15
    read_noise: float = 2.
    shot_noise: float = 3.
    saturation: float = 1.

    @classmethod
    def random(cls, rng: np.random.Generator, night: bool) -> 'Exposure':
        """Draw random settings for an image."""
        return cls(
            gain=float(np.exp(rng.normal(0, .22))),
            white=np.exp(rng.normal(0, .05, 3)),
            blur=rng.uniform(.15, .65),
            motion=0.,
            vignette=rng.uniform(.05, .3),
            read_noise=rng.uniform(.8, 3.) * (2.2 if night else 1.),
            shot_noise=rng.uniform(1.5, 4.) * (2. if night else 1.),
            saturation=rng.uniform(.75, 1.15))


# Directions in which the visibility of the sky is tested, one per sub-pixel in
# rotation: soft shadows under cars and along walls.
_SKY_DIRS = np.array([[.35, .2, .9], [-.45, .35, .8], [-.15, -.55, .8],
                      [.6, -.4, .7]])
_SKY_DIRS /= np.sqrt((_SKY_DIRS**2).sum(1, keepdims=True))


class Renderer:
    """Renders images of a world.

    The colour of a pixel is the mean over ``supersample ** 2`` rays. Label,
    instance and depth come from one of these rays, so they are consistent: a
    ray to the surface (label and object) that most rays hit, or the nearest
    one if surfaces tie.

    Args:
        world (World): The scene.
        supersample (int): Rays along each side of a pixel. Defaults to 2.
    """

    def __init__(self, world: World, supersample: int = 2) -> None:
        self.world = world
        self.geometry = WorldGeometry(world)
        self.supersample = supersample
        self._time = 0.

    def ego_pose(self, t: float) -> Tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3) and translation (3, ) from ego to world."""
        return self.geometry.ego_pose(t)

    def render(self,
               camera: PinholeCamera,
               t: float,
               exposure: Exposure,
               rng: np.random.Generator,
               hood=None) -> Tuple[np.ndarray, ...]:
        """Render an image and its ground truth.

        Args:
            camera (PinholeCamera): The camera.
            t (float): Seconds.
            exposure (Exposure): Lens and sensor.
            rng (np.random.Generator): For the noise.
            hood (Mesh, optional): Visible part of the ego vehicle in the
                ego frame.

        Returns:
            tuple[np.ndarray]: Image uint8 (H, W, 3) RGB; label ids uint8,
            track ids int32 and depth float32 in metres, (H, W) each.
        """
        self._time = t
        rot, pos = self.ego_pose(t)
        self.geometry.set_time(t, hood)
        k = self.supersample**2
        rays = camera.rays(self.supersample)
        h, w = rays.shape[:2]
        turn = rot.dot(camera.rotation)
        flat = rays.reshape(-1, 3)
        dirs = flat[:, :1] * turn[:, 0] + flat[:, 1:2] * turn[:, 1] + \
            turn[:, 2]
        origin = pos + (rot * np.asarray(camera.position)).sum(1)
        hits = self.geometry.cast(origin, dirs)
        hits.label[np.isinf(hits.distance)] = SKY
        length = np.sqrt((dirs**2).sum(1))
        unit = dirs / length[:, None]
        light = self._light(hits, origin, unit, length, camera)
        pick = self._representative(hits, h * w, k)
        rows = np.arange(h * w) * k + pick
        image = self._develop(light.reshape(h, w, k, 3).mean(2), exposure, rng)
        return (image, hits.label[rows].reshape(h, w),
                hits.instance[rows].reshape(h, w),
                hits.distance[rows].reshape(h, w))

    @staticmethod
    def _representative(hits: Hits, n: int, k: int) -> np.ndarray:
        """Index (N, ) of the ray that stands for each pixel."""
        if k == 1:
            return np.zeros(n, np.int64)
        key = (hits.instance * 64 + hits.label).reshape(n, k)
        count = np.zeros((n, k), np.float32)
        for j in range(k):
            count += key == key[:, j:j + 1]
        near = np.minimum(hits.distance.reshape(n, k), 4000.)
        return (count - near * 1e-4).argmax(1)

    def _light(self, hits: Hits, origin: np.ndarray, unit: np.ndarray,
               length: np.ndarray, camera: PinholeCamera) -> np.ndarray:
        """Incoming light (N, 3) along each ray, linear RGB."""
        c = self.world.conditions
        sky = self._sky(unit, c)
        idx = np.flatnonzero(np.isfinite(hits.distance))
        dist = hits.distance[idx] * length[idx]
        view = unit[idx]
        normal = hits.normal[idx].astype(np.float64)
        facing = (normal * view).sum(1)
        normal *= -np.sign(facing + 1e-12)[:, None]
        slant = np.maximum(np.abs(facing), .06)
        pixel = 2 * np.tan(np.radians(camera.fov) / 2) / camera.width
        foot = dist * pixel / np.sqrt(slant)
        point = origin + view * dist[:, None]
        surf = shade(
            hits.material[idx],
            Points(hits.uv[idx], hits.color[idx], hits.param[idx], foot,
                   normal[:, 2], c.night, c.wet))
        start = point + normal * (.01 + 2e-4 * dist)[:, None]
        sun = c.sun.max() > 0
        up = .62 + .38 * normal[:, 2]
        if sun:
            slope = (normal * c.sun_dir).sum(1)
            lit = slope > 0
            j = np.flatnonzero(lit)
            lit[j] = ~self.geometry.occluded(start[j], c.sun_dir, 300.)
            slope = np.where(lit, np.maximum(slope, 0), 0)
            # Light reflected by the ground and by walls across the street.
            bounce = .10 * (1.2 - normal[:, 2])
            light = c.ambient * up[:, None] + c.sun * \
                (slope + bounce)[:, None]
        else:
            reach = 7. if not c.night else 3.
            if self.supersample > 1:
                d = _SKY_DIRS[idx % 4]
                open_sky = ~self.geometry.occluded(start, d, reach)
            else:  # one ray per pixel would show the sampling pattern
                open_sky = 1 - np.mean([
                    self.geometry.occluded(start, d, reach) for d in _SKY_DIRS
                ], 0)
            light = c.ambient * (up * (.45 + .55 * open_sky))[:, None]
            light = light * 1.1
        light = light + self._lamps(point, normal, c)
        color = surf.albedo * light
        mirror = surf.gloss > 0
        if mirror.any():
            color = self._mirror(color, surf, mirror, view, normal, light,
                                 facing, c)
        color = color + surf.emission
        haze = np.exp(-dist / c.visibility)[:, None]
        veil = c.sky_horizon if not c.night else c.sky_horizon * .5
        out = sky
        out[idx] = color * haze + veil * (1 - haze)
        return out

    def _mirror(self, color, surf, mirror, view, normal, light, facing, c):
        """Adds reflections of the sky (and of the sun) where glossy."""
        i = np.flatnonzero(mirror)
        n, v = normal[i], view[i]
        r = v - 2 * (v * n).sum(1, keepdims=True) * n
        fresnel = surf.gloss[i] * (.35 + .65 * (1 - np.abs(facing[i]))**3)
        sky = self._sky(r, c, False)
        # Below and close to the horizon, the street is visible, not the sky.
        street = light[i] * np.array([.16, .155, .15])
        mix = np.clip((r[:, 2] - .05) * 4, 0, 1)[:, None]
        seen = sky * mix + street * (1 - mix)
        if c.sun.max() > 0:
            glint = np.clip((r * c.sun_dir).sum(1), 0, 1)**60
            bright = light[i].max(1) > c.ambient.max() * 1.4
            seen = seen + (glint * bright)[:, None] * c.sun * 2.5
        f = fresnel[:, None]
        color[i] = color[i] * (1 - f) + seen * f
        return color

    def _lamps(self, point: np.ndarray, normal: np.ndarray,
               c: Conditions) -> np.ndarray:
        """Light of street lamps and of the ego vehicle's head lamps at
        night."""
        out = np.zeros_like(point)
        if not c.night:
            return out
        warm = np.array([1., .74, .42])
        for lamp in self.world.lamps:
            d = lamp - point
            dd = (d**2).sum(1)
            near = np.flatnonzero(dd < 22.**2)
            if not len(near):
                continue
            inv = 1 / np.sqrt(dd[near] + .2)
            cos = (d[near] * normal[near]).sum(1) * inv
            out[near] += (9. * np.clip(cos + .15, 0, 1) * inv**2 *
                          (1 - dd[near] / 22.**2))[:, None] * warm
        t_rot, t_pos = self.ego_pose(self._time)
        front = t_rot[:, 0]
        d = point - (t_pos + front * 3.4 + np.array([0, 0, .65]))
        dist = np.sqrt((d**2).sum(1)) + .3
        along = (d * front).sum(1) / dist
        cone = np.clip((along - .78) / .18, 0, 1)
        drop = np.clip(1.2 - d[:, 2] * 8 / (dist + 4), .12, 1)
        cos = np.clip(-(d * normal).sum(1) / dist + .12, 0, 1)
        out += (55. * cone * drop * cos /
                (dist**2 + 30))[:, None] * np.array([1., .95, .85])
        return out

    @staticmethod
    def _sky(unit: np.ndarray,
             c: Conditions,
             clouds: bool = True) -> np.ndarray:
        """Light of the sky from directions (N, 3)."""
        z = np.clip(unit[:, 2], 0, 1)
        t = (1 - z)[:, None]**3
        color = c.sky_top * (1 - t) + c.sky_horizon * t
        if clouds and c.clouds:
            zz = np.maximum(unit[:, 2], 0) + .12
            u, v = unit[:, 0] / zz, unit[:, 1] / zz
            n = noise(u + c.seed, v, 1.6, 12., 8) + \
                .5 * noise(u, v + c.seed, .5, 8., 7)
            cover = np.clip((n + (c.clouds - .5) * 1.6) * 1.8, 0, 1)
            cover = cover * np.clip(z * 9, 0, 1)
            grey = c.ambient * 1.35 + c.sun * .25
            if c.sun.max() <= 0:
                grey = c.sky_horizon * .72
            color = color * (1 - cover[:, None]) + grey * cover[:, None]
        if c.sun.max() > 0:
            glow = np.clip((unit * c.sun_dir).sum(1), 0, 1)
            color = color + (.35 * glow**12 + 6 * glow**900)[:, None] * c.sun
        return color

    def _develop(self, light: np.ndarray, e: Exposure,
                 rng: np.random.Generator) -> np.ndarray:
        """Convert linear light (H, W, 3) to an 8-bit image."""
        h, w = light.shape[:2]
        c = self.world.conditions
        lum = light.mean(-1)
        level = np.exp(np.log(lum + 1e-3).mean())
        target = .20 if not c.night else .085
        gain = e.gain * (target /
                         level)**.75 * (.24 if not c.night else .12)**.25
        x = light * (gain * e.white)
        x = x / (1 + .35 * x)
        grey = x.mean(-1, keepdims=True)
        x = np.maximum(grey + (x - grey) * e.saturation, 0)
        y, z = np.mgrid[-1:1:h * 1j, -1:1:w * 1j]
        x *= (1 - e.vignette * (y**2 + z**2) / 2)[..., None]
        if e.blur > .1:
            x = cv2.GaussianBlur(x, (0, 0), e.blur * max(1., w / 512))
        srgb = np.where(x < .0031308, 12.92 * x,
                        1.055 * np.maximum(x, .0031308)**(1 / 2.4) - .055)
        sigma = np.sqrt(e.read_noise**2 +
                        e.shot_noise**2 * np.clip(srgb, 0, 1))
        out = srgb * 255 + rng.normal(size=x.shape) * sigma
        return np.clip(np.rint(out), 0, 255).astype(np.uint8)
