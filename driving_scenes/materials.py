"""Procedural materials: albedo, gloss and emission of points on surfaces.

All textures are functions of texture coordinates (metres on the surface), of
the four parameters of the face and of fixed noise tiles. They fade out where
a pixel covers more than the texture's period, so far surfaces do not alias.
"""
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Callable, Dict

import numpy as np
from scipy import ndimage


class Mat(IntEnum):
    """Kinds of material, with ``param`` of a face in brackets."""
    PLAIN = 0
    ASPHALT = 1  # [seed, style, roughness]
    PAVING = 2  # [seed, style 0 slabs 1 cobbles 2 asphalt, slab size]
    GRASS = 3  # [seed, dryness]
    FACADE = 4  # [bay width, storey height, seed, ground floor 0/1/2]
    BRICK = 5  # [seed, style 0 brick 1 concrete 2 stone 3 graffiti]
    ROOF = 6  # [seed]
    FOLIAGE = 7  # [seed]
    GLASS = 8
    CARPAINT = 9
    SIGN = 10  # uv in -1..1 [shape style, seed]
    METAL = 11
    CLOTH = 12
    LAMP = 13  # [emission]
    POSTER = 14  # [seed]
    PAINT = 15  # [seed, wear]
    WOOD = 16
    GRAVEL = 17
    STRIPES = 18  # [period in metres]
    BARK = 19
    CONTAINER = 20  # [seed, stripe height share]


@dataclass
class Points:
    """Points to shade; arrays share the first dimension N.

    Args:
        uv (np.ndarray): (N, 2), texture coordinates.
        color (np.ndarray): (N, 3), base colour, linear RGB.
        param (np.ndarray): (N, 4), parameters of the face.
        footprint (np.ndarray): (N, ), extent of a pixel there, metres.
        normal_z (np.ndarray): (N, ), vertical part of the unit normal.
        night (float): 0 by day to 1 at night; lights windows.
        wet (float): 0 dry to 1 wet.
    """
    uv: np.ndarray
    color: np.ndarray
    param: np.ndarray
    footprint: np.ndarray
    normal_z: np.ndarray
    night: float = 0.
    wet: float = 0.


@dataclass
class Surface:
    """Appearance of a material.

    Args:
        albedo (np.ndarray): (N, 3), linear RGB.
        gloss (np.ndarray): (N, ), fraction of mirror reflection.
        emission (np.ndarray): (N, 3), emitted light.
    """
    albedo: np.ndarray
    gloss: np.ndarray
    emission: np.ndarray


_SIZE = 512


@lru_cache(maxsize=None)
def _tile(sigma: float, seed: int = 0) -> np.ndarray:
    """Seamless tile of smooth noise, about -1 to 1."""
    noise = np.random.default_rng(7000 + seed).normal(size=(_SIZE, _SIZE))
    if sigma:
        noise = ndimage.gaussian_filter(noise, sigma, mode='wrap')
    return (noise / noise.std() * .5).astype(np.float32)


def noise(u: np.ndarray,
          v: np.ndarray,
          period: float,
          sigma: float = 6.,
          seed: int = 0) -> np.ndarray:
    """Smooth noise, standard deviation 0.5, at points of a plane.

    Args:
        u (np.ndarray): (N, ), metres.
        v (np.ndarray): (N, ), metres.
        period (float): Size of a blob, metres.
        sigma (float): Smoothness of the tile in its pixels. Defaults to 6.
        seed (int): Which tile. Defaults to 0.

    Returns:
        np.ndarray: (N, ).
    """
    k = 2.5 * max(sigma, .4) / period
    i = np.floor(u * k).astype(np.int64) & (_SIZE - 1)
    j = np.floor(v * k).astype(np.int64) & (_SIZE - 1)
    return _tile(sigma, seed)[i, j]


def hash01(*keys: np.ndarray) -> np.ndarray:
    """Uniform pseudo-random numbers in [0, 1) for integer-like keys."""
    x = np.float64(.5)
    for key, factor in zip(keys, (12.9898, 78.233, 37.719, 94.673)):
        x = x + np.asarray(key, np.float64) * factor
    x = np.sin(x) * 43758.5453
    return x - np.floor(x)


def _fade(p: Points, period) -> np.ndarray:
    """1 if a texture with this period is resolved, 0 if not."""
    return np.clip(1.6 - 1.6 * p.footprint / period, 0., 1.)


def _flat(p: Points, gloss: float = 0.) -> Surface:
    n = len(p.uv)
    return Surface(p.color.copy(), np.full(n, gloss, np.float32),
                   np.zeros((n, 3), np.float32))


def _scaled(p: Points, factor: np.ndarray, gloss: float = 0.) -> Surface:
    s = _flat(p, gloss)
    s.albedo *= np.maximum(factor, .05)[:, None]
    return s


def _plain(p: Points) -> Surface:
    return _scaled(p, 1 + .1 * noise(p.uv[:, 0], p.uv[:, 1], .5))


def _asphalt(p: Points) -> Surface:
    u, v = p.uv.T
    seed = p.param[:, 0] * 37
    f = 1 + .10 * noise(u + seed, v, 6.) + .13 * noise(u, v + seed, .8, 4., 1)
    f += _fade(p, .12) * .25 * noise(u, v, .03, 0., 2)
    tracks = np.abs(np.abs((v % 3.2) - 1.6) - .75) < .28
    f -= .07 * tracks
    patch = hash01(np.floor(u / 5.3), np.floor(v / 2.9), p.param[:, 0])
    f = np.where(patch > .93, f * .72, f)
    crack = np.abs(noise(u + 3, v, 2.2, 8., 3)) < .012
    f = np.where(crack & (p.footprint < .15), f * .6, f)
    s = _scaled(p, f)
    puddle = noise(u, v + 9, 5., 10., 4) > .45 - .5 * p.wet
    s.gloss = np.where(puddle, .55, .22).astype(np.float32) * p.wet
    s.albedo *= 1 - .45 * p.wet
    return s


def _paving(p: Points) -> Surface:
    u, v = p.uv.T
    size = np.maximum(p.param[:, 2], .1)
    style = p.param[:, 1]
    shift = np.where(style == 1, .5, 0.) * (np.floor(v / size) % 2)
    i, j = np.floor(u / size + shift), np.floor(v / size)
    fu, fv = u / size + shift - i, v / size - j
    joint = (np.minimum(fu, fv) < .07) | (np.maximum(fu, fv) > .93)
    fade = _fade(p, size)
    slab = 1 + .18 * (hash01(i, j, p.param[:, 0]) - .5) * (.4 + .6 * fade)
    slab = slab - .3 * joint * fade
    rough = 1 + .2 * noise(u, v, .04, 0., 2) * _fade(p, .12)
    f = np.where(style == 2, rough, slab)
    f = f + .10 * noise(u + p.param[:, 0] * 11, v, 2.5) + \
        .06 * noise(u, v, .7, 4., 1)
    s = _scaled(p, f)
    s.gloss = np.full(len(u), .18 * p.wet, np.float32)
    s.albedo *= 1 - .35 * p.wet
    return s


def _grass(p: Points) -> Surface:
    u, v = p.uv.T
    f = 1 + .35 * noise(u, v, 1.6, 6., 5) + .2 * noise(u, v, 7., 8., 1)
    f += _fade(p, .15) * .5 * noise(u, v, .05, .7, 2)
    s = _scaled(p, f)
    dry = np.clip(noise(u + 5, v, 4., 9., 6) + p.param[:, 1], 0, 1)[:, None]
    s.albedo = s.albedo * (1 - dry) + dry * f[:, None] * \
        np.array([.20, .15, .08])
    return s


def _facade(p: Points) -> Surface:
    u, v = p.uv.T
    bay, storey, seed, ground = p.param.T
    i, j = np.floor(u / bay), np.floor(v / storey)
    fu, fv = u / bay - i, v / storey - j
    h1, h2, h3, h4 = (hash01(seed, k) for k in (1, 2, 3, 4))
    ww, wh = .36 + .4 * h1, .42 + .22 * h2
    low = .28 - .1 * (wh - .42)
    strip = h3 > .82
    ww = np.where(strip, .94, ww)
    is_ground = j < 1
    shop = is_ground & (ground == 1)
    garage = is_ground & (ground == 2)
    ww = np.where(shop, .86, ww)
    low, wh = np.where(shop, .1, low), np.where(shop, .62, wh)
    du, dv = np.abs(fu - .5), fv - low
    glass = (du < ww / 2) & (dv > 0) & (dv < wh) & (j >= 0)
    blind_wall = (hash01(seed, 9) > .9) & ~shop
    glass &= ~blind_wall
    mx, my = .07 / bay, .07 / storey
    frame = (du < ww / 2 + mx) & (dv > -my) & (dv < wh + my) & ~blind_wall
    bars = (np.abs(fu - .5) < .025) | (np.abs(dv - wh * .62) < .015)
    fade = _fade(p, .25)
    cell = hash01(i, j, seed)
    texture = 1 + .07 * noise(u + seed * 7, v, 3.) + \
        .05 * noise(u, v + seed, .4, 3., 1)
    texture -= .14 * np.clip(1 - v / 1.2, 0, 1) * hash01(seed, 6)
    row = np.floor(v / .075)
    brick_u = u / .24 + .5 * (row % 2)
    mortar = (v / .075 - row < .18) | (brick_u - np.floor(brick_u) < .08)
    brick = 1 + .3 * (hash01(np.floor(brick_u), row) - .5) + .35 * mortar
    texture = np.where(h4 < .33, texture * (1 + (brick - 1) * _fade(p, .2)),
                       texture)
    band = (fv > .955) & (h4 > .45) & (j >= 0)
    texture = np.where(band, texture * 1.25, texture)
    albedo = p.color * texture[:, None]
    rustic = is_ground & (h2 > .5)
    albedo = np.where(rustic[:, None], albedo * .72, albedo)
    light = np.where(h1 > .4, .6, .12)[:, None] * np.ones(3)
    albedo = np.where((frame & ~glass)[:, None], light, albedo)
    curtain = np.clip((cell - .55) * 2, 0, 1) * (dv > wh * .3)
    pane = np.array([.045, .055, .065]) + curtain[:, None] * \
        np.array([.3, .28, .24])
    closed = (cell < .12) & (h3 < .6) & ~shop
    shutter = np.stack([.12 + .2 * h1, .14 + .15 * h2, .1 + .1 * h4], 1)
    pane = np.where(closed[:, None], shutter, pane)
    pane = np.where((bars & ~shop)[:, None],
                    light * fade[:, None] + pane * (1 - fade[:, None]), pane)
    shown = np.stack([hash01(i, seed, k) for k in (1, 2, 3)], 1) * .3
    goods = noise(u, v, .5, 3., 4)[:, None] > .25
    pane = np.where(shop[:, None] & goods, shown, pane)
    albedo = np.where(glass[:, None], pane, albedo)
    door = is_ground & ~shop & (j >= 0) & (hash01(i, seed, 5) < .3) & \
        (du < .55 / bay) & (v < 2.2)
    wood = np.stack([.10 + .2 * h3, .07 + .1 * h4, .05 + .08 * h1], 1)
    albedo = np.where(door[:, None], wood, albedo)
    gate = garage & (du < .42) & (v < 2.4)
    grey = (.3 + .25 * h1) * (1 - .25 * ((v % .35) < .05) * fade)
    albedo = np.where(gate[:, None], grey[:, None], albedo)
    sign = shop & (fv > .78) & (fv < .94)
    brand = np.stack([hash01(np.floor(i / 2), seed, k)
                      for k in (6, 7, 8)], 1)**1.5 * .7
    letters = (noise(u, v * .3, .28, 2., 5) > .2) & (du < .4) & \
        (np.abs(fv - .86) < .05)
    brand = np.where(letters[:, None], .75 - brand * .6, brand)
    albedo = np.where(sign[:, None], brand, albedo)
    gloss = np.where(glass & ~closed & (curtain < .2) & ~door & ~gate, .42, 0.)
    lit = glass & ~closed & (cell > .62)
    emission = np.zeros_like(albedo)
    if p.night > 0:
        glow = np.array([1., .72, .38]) * .55 * p.night
        emission = np.where(lit[:, None], glow, emission)
        emission = np.where((shop & glass)[:, None],
                            (pane + .2) * 1.3 * p.night, emission)
        emission = np.where(sign[:, None], brand * p.night, emission)
    return Surface(albedo, gloss.astype(np.float32), emission)


def _brick(p: Points) -> Surface:
    u, v = p.uv.T
    style = p.param[:, 1]
    row = np.floor(v / .075)
    bu = u / .24 + .5 * (row % 2)
    mortar = (v / .075 - row < .18) | (bu - np.floor(bu) < .08)
    brick = 1 + (.3 * (hash01(np.floor(bu), row) - .5) + .4 * mortar) * \
        _fade(p, .2)
    plate = np.abs((u / 2.4) - np.round(u / 2.4)) < .02
    concrete = 1 + .1 * noise(u, v, 1.2) - .3 * plate
    stone_u, stone_v = u / .55 + .4 * noise(u, v, .9, 6.), v / .35
    sj = np.floor(stone_v)
    si = np.floor(stone_u + .5 * (sj % 2))
    stone = .8 + .5 * hash01(si, sj) - \
        .3 * ((stone_v - sj) < .12) * _fade(p, .3)
    f = np.where(style == 0, brick, np.where(style == 2, stone, concrete))
    f = f + .1 * noise(u + p.param[:, 0] * 9, v, 2.) - \
        .15 * np.clip(1 - v / .6, 0, 1)
    s = _scaled(p, f)
    tag = (style == 3) & (noise(u, v, .6, 5., 6) > .05) & \
        (noise(u, v, 4., 9., 3) > .1) & (v > .3)
    paint = np.stack(
        [.5 + .5 * np.sin(noise(u, v, 1.1, 7., k) * 5 + k)
         for k in (0, 1, 2)], 1) * .5
    s.albedo = np.where(tag[:, None], paint, s.albedo)
    return s


def _roof(p: Points) -> Surface:
    u, v = p.uv.T
    j = np.floor(v / .35)
    i = np.floor(u / .25 + .5 * (j % 2))
    edge = (v / .35 - j) < .2
    f = 1 + (.3 * (hash01(i, j) - .5) - .3 * edge) * _fade(p, .3)
    return _scaled(p, f + .12 * noise(u + p.param[:, 0] * 5, v, 2.))


def _foliage(p: Points) -> Surface:
    u, v = p.uv.T
    seed = p.param[:, 0] * 17
    f = 1 + .35 * noise(u + seed, v, .5, 4., 1)
    f += _fade(p, .2) * .6 * noise(u, v + seed, .09, 1., 2)
    return _scaled(p, np.clip(f, .2, 2.2))


def _carpaint(p: Points) -> Surface:
    u, v = p.uv.T
    seam = np.abs(u - .15) < .012
    f = 1 + .05 * noise(u, v, .8) - .4 * seam * _fade(p, .06)
    f -= .25 * np.clip(.5 - v, 0, .5) * (np.abs(p.normal_z) < .5)
    return _scaled(p, f, .16)


_SIGN_RED, _SIGN_BLUE = np.array([.5, .02, .02]), np.array([.02, .08, .42])
_SIGN_WHITE, _SIGN_YELLOW = np.array([.75] * 3), np.array([.7, .5, .02])


def _sign(p: Points) -> Surface:
    u, v = p.uv.T
    style = p.param[:, 0].astype(int)
    seed = p.param[:, 1]
    r = np.sqrt(u * u + v * v)
    glyph = (noise(u + seed * 13, v, .45, 5., 3) > .12) & (r < .55)
    bar = (np.abs(v) < .18) & (np.abs(u) < .7)
    text = (noise(u * 2 + seed * 7,
                  np.floor(v * 3 + .5) * 3.3, .22, 2., 4)
            > .1) & (np.abs(v * 3 - np.round(v * 3)) < .28) & (
                np.abs(u) < .85)
    box = np.maximum(np.abs(u), np.abs(v))
    layers: Dict[int, np.ndarray] = {}

    def mix(base, *pairs):
        out = np.broadcast_to(base, (len(u), 3)).copy()
        for mask, color in pairs:
            out[mask] = color
        return out

    red_ring = mix(_SIGN_RED, (r < .74, _SIGN_WHITE), (glyph, .02))
    layers[0] = red_ring
    layers[1] = mix(_SIGN_BLUE, (r > .92, _SIGN_WHITE), (glyph, _SIGN_WHITE))
    layers[2] = mix(_SIGN_RED, (bar, _SIGN_WHITE))
    layers[3] = mix(_SIGN_RED, (r < .5, _SIGN_WHITE), (glyph & (r < .36), .02))
    layers[4] = mix(_SIGN_WHITE, (box < .85, _SIGN_YELLOW))
    layers[5] = mix(_SIGN_BLUE, (box > .92, _SIGN_WHITE), (text, _SIGN_WHITE))
    layers[6] = mix(_SIGN_YELLOW, (box > .92, .03), (text, .03))
    layers[7] = mix(_SIGN_RED, (r > .9, _SIGN_WHITE), (text, _SIGN_WHITE))
    layers[8] = mix(_SIGN_WHITE, (text, .05), (box > .93, .1))
    layers[9] = np.broadcast_to(np.array([.16, .16, .17]), (len(u), 3))
    albedo = np.zeros((len(u), 3))
    for key, value in layers.items():
        albedo = np.where((style == key)[:, None], value, albedo)
    return Surface(albedo, np.full(len(u), .03, np.float32),
                   albedo * .25 * p.night)


def _metal(p: Points) -> Surface:
    u, v = p.uv.T
    return _scaled(p, 1 + .15 * noise(u, v, .3, 4., 1), .10)


def _cloth(p: Points) -> Surface:
    u, v = p.uv.T
    return _scaled(p, 1 + .35 * noise(u * 1.5, v, .16, 4., 1))


def _lamp(p: Points) -> Surface:
    s = _flat(p, .1)
    s.emission = p.color * p.param[:, :1] * (.25 + 1.6 * p.night)
    return s


def _poster(p: Points) -> Surface:
    u, v = p.uv.T
    seed = p.param[:, 0] * 31
    hue = np.stack([hash01(seed, k) for k in (1, 2, 3)], 1)
    back = hue * .6
    blob = noise(u + seed, v, .9, 7., 5) > .1
    fore = np.stack([hash01(seed, k) for k in (4, 5, 6)], 1) * .8
    albedo = np.where(blob[:, None], fore, back)
    text = (noise(u * 1.5, np.floor(v * 4) * 3., .2, 2., 4) > .15) & \
        (np.sin(v * 5 + seed) > .4)
    albedo = np.where(text[:, None],
                      np.where(back.mean(1) > .3, .04, .75)[:, None], albedo)
    return Surface(albedo, np.full(len(u), .08, np.float32),
                   albedo * .8 * p.night)


def _paint(p: Points) -> Surface:
    u, v = p.uv.T
    wear = noise(u, v, .25, 3., 6) > .75 - p.param[:, 1]
    f = np.where(wear, .45, 1.) + .12 * noise(u, v, .5, 5., 1)
    s = _scaled(p, f)
    s.albedo *= 1 - .25 * p.wet
    s.gloss = np.full(len(u), .2 * p.wet, np.float32)
    return s


def _wood(p: Points) -> Surface:
    u, v = p.uv.T
    i = np.floor(u / .13)
    gap = (u / .13 - i) < .1
    f = 1 + .35 * (hash01(i) - .5) - .4 * gap * _fade(p, .12)
    return _scaled(p, f + .2 * noise(u * 4, v, .5, 4., 1))


def _gravel(p: Points) -> Surface:
    u, v = p.uv.T
    f = 1 + .2 * noise(u, v, 1.5) + _fade(p, .2) * .45 * noise(
        u, v, .08, 1., 2)
    return _scaled(p, f)


def _stripes(p: Points) -> Surface:
    u, v = p.uv.T
    t = (u + v) / np.maximum(p.param[:, 0], .05)
    s = _flat(p)
    white = (t - np.floor(t)) < .5
    s.albedo = np.where(white[:, None], .7, s.albedo)
    return s


def _bark(p: Points) -> Surface:
    u, v = p.uv.T
    return _scaled(p, 1 + .5 * noise(u * 3, v, .25, 3., 1))


def _container(p: Points) -> Surface:
    u, v = p.uv.T
    seed = p.param[:, 0] * 13
    rib = np.abs(u / .3 - np.round(u / .3)) < .12
    f = 1 - .18 * rib * _fade(p, .25) * (hash01(seed) > .4) + \
        .07 * noise(u + seed, v, 1.2)
    s = _scaled(p, f, .03)
    share = p.param[:, 1]
    stripe = (share > 0) & (np.abs(v - 1.9) < share)
    brand = np.stack([hash01(seed, k) for k in (1, 2, 3)], 1) * .6
    letters = noise(u, v * .3, .5, 3., 5) > .15
    brand = np.where(letters[:, None], .8 - brand, brand)
    s.albedo = np.where(stripe[:, None], brand, s.albedo)
    return s


_SHADERS: Dict[int, Callable[[Points], Surface]] = {
    Mat.PLAIN: _plain,
    Mat.ASPHALT: _asphalt,
    Mat.PAVING: _paving,
    Mat.GRASS: _grass,
    Mat.FACADE: _facade,
    Mat.BRICK: _brick,
    Mat.ROOF: _roof,
    Mat.FOLIAGE: _foliage,
    Mat.GLASS: lambda p: _flat(p, .5),
    Mat.CARPAINT: _carpaint,
    Mat.SIGN: _sign,
    Mat.METAL: _metal,
    Mat.CLOTH: _cloth,
    Mat.LAMP: _lamp,
    Mat.POSTER: _poster,
    Mat.PAINT: _paint,
    Mat.WOOD: _wood,
    Mat.GRAVEL: _gravel,
    Mat.STRIPES: _stripes,
    Mat.BARK: _bark,
    Mat.CONTAINER: _container,
}


def shade(material: np.ndarray, points: Points) -> Surface:
    """Evaluates the materials of many points.

    Args:
        material (np.ndarray): uint8, (N, ), see :class:`Mat`.
        points (Points): The points.

    Returns:
        Surface: Arrays of N rows.
    """
    n = len(material)
    out = Surface(
        np.zeros((n, 3), np.float32), np.zeros(n, np.float32),
        np.zeros((n, 3), np.float32))
    for kind in np.unique(material):
        idx = np.flatnonzero(material == kind)
        sub = Points(points.uv[idx], points.color[idx], points.param[idx],
                     points.footprint[idx], points.normal_z[idx], points.night,
                     points.wet)
        res = _SHADERS[int(kind)](sub)
        out.albedo[idx] = np.clip(res.albedo, 0., .95)
        out.gloss[idx] = res.gloss
        out.emission[idx] = res.emission
    return out
