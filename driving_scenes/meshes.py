"""Triangle meshes with per-face attributes for sensors."""
import math
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import List, Optional, Sequence, Tuple

import numpy as np

_BOX_VERTS = np.array([[x, y, z] for z in (-.5, .5) for y in (-.5, .5)
                       for x in (-.5, .5)])
_BOX_FACES = np.array([[0, 2, 3], [0, 3, 1], [4, 5, 7], [4, 7, 6], [0, 1, 5],
                       [0, 5, 4], [2, 6, 7], [2, 7, 3], [0, 4, 6], [0, 6, 2],
                       [1, 3, 7], [1, 7, 5]])


@dataclass
class Mesh:
    """Triangles and their attributes.

    Args:
        vertices (np.ndarray): float32, (V, 3), metres.
        faces (np.ndarray): int32, (F, 3), indices of vertices.
        uv (np.ndarray): float32, (F, 3, 2), texture coordinates of the
            corners of each face, metres unless the material says otherwise.
        material (np.ndarray): uint8, (F, ), see :mod:`.materials`.
        color (np.ndarray): float32, (F, 3), linear RGB albedo.
        param (np.ndarray): float32, (F, 4), meaning set by the material.
        label (np.ndarray): uint8, (F, ), Cityscapes label id.
    """
    vertices: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    material: np.ndarray
    color: np.ndarray
    param: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.faces)

    def moved(self,
              xyz: Sequence[float],
              yaw: float = 0.,
              scale: float = 1.) -> 'Mesh':
        """The same mesh scaled, turned about z and then shifted.

        Args:
            xyz (Sequence[float]): Shift in metres.
            yaw (float): Angle about z in radians. Defaults to 0.
            scale (float): Factor on the vertices. Defaults to 1.

        Returns:
            Mesh: Shares all attributes but the vertices.
        """
        c, s = np.cos(yaw) * scale, np.sin(yaw) * scale
        v = self.vertices
        out = np.empty_like(v)
        out[:, 0] = c * v[:, 0] - s * v[:, 1] + xyz[0]
        out[:, 1] = s * v[:, 0] + c * v[:, 1] + xyz[1]
        out[:, 2] = v[:, 2] * scale + xyz[2]
        return Mesh(out, self.faces, self.uv, self.material, self.color,
                    self.param, self.label)

    def bounds(self) -> Tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner of the mesh, (3, ) each, metres."""
        return self.vertices.min(0), self.vertices.max(0)


def concat(meshes: Sequence[Mesh]) -> Mesh:
    """Concatenate meshes.

    Args:
        meshes (Sequence[Mesh]): May be empty.

    Returns:
        Mesh: Faces in the order of the parts.
    """
    if not meshes:
        return MeshBuilder().build()
    offsets = np.cumsum([0] + [len(m.vertices) for m in meshes[:-1]])
    parts = {
        f.name: np.concatenate([getattr(m, f.name) for m in meshes])
        for f in fields(Mesh) if f.name != 'faces'
    }
    faces = np.concatenate([m.faces + o
                            for m, o in zip(meshes, offsets)]).astype(np.int32)
    return Mesh(faces=faces, **parts)


def planar_uv(corners: np.ndarray) -> np.ndarray:
    """Texture coordinates from positions, projected along the dominant axis.

    Args:
        corners (np.ndarray): (F, 3, 3), corners of the faces in metres.

    Returns:
        np.ndarray: (F, 3, 2), metres.
    """
    p, q = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    normal = np.abs(
        np.stack([
            p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2],
            p[0] * q[1] - p[1] * q[0]
        ], 1))
    axis = normal.argmax(1)
    first = np.where(axis == 0, 1, 0)
    second = np.where(axis == 2, 1, 2)
    rows = np.arange(len(corners))[:, None]
    cols = np.arange(3)[None]
    return np.stack([
        corners[rows, cols, first[:, None]], corners[rows, cols, second[:,
                                                                        None]]
    ], -1)


class MeshBuilder:
    """Collects primitives into a :class:`Mesh`.

    Args:
        label (int): Cityscapes label id of the faces added, until the
            attribute ``label`` is changed. Defaults to 0.
    """

    def __init__(self, label: int = 0) -> None:
        self.label = label
        self._raw: List[tuple] = []
        self._parts: List[Mesh] = []

    def add(self,
            vertices: np.ndarray,
            faces: np.ndarray,
            material: int = 0,
            color: Sequence[float] = (.5, .5, .5),
            param: Sequence[float] = (0, 0, 0, 0),
            uv: Optional[np.ndarray] = None,
            label: Optional[int] = None) -> None:
        """Adds triangles that share one material.

        Args:
            vertices (np.ndarray): (V, 3), metres.
            faces (np.ndarray): (F, 3), indices.
            material (int): Material id. Defaults to 0.
            color (Sequence[float]): Linear RGB, (3, ) or (F, 3).
            param (Sequence[float]): Parameters of the material, (4, ) or
                (F, 4).
            uv (np.ndarray, optional): (F, 3, 2). Defaults to a projection
                along the dominant axis.
            label (int, optional): Defaults to the builder's.
        """
        self._raw.append((vertices, faces, material, color, param, uv,
                          self.label if label is None else label))

    def merge(self, mesh: Mesh) -> None:
        """Adds a finished mesh."""
        self._parts.append(mesh)

    def quad(self,
             points: Sequence,
             uv: Optional[Sequence] = None,
             **kwargs) -> None:
        """A flat quadrilateral.

        Args:
            points (Sequence): (4, 3), corners in order, metres.
            uv (Sequence, optional): (4, 2), coordinates of the corners.
        """
        faces = np.array([[0, 1, 2], [0, 2, 3]])
        if uv is not None:
            uv = np.asarray(uv, np.float32)[faces]
        self.add(np.asarray(points), faces, uv=uv, **kwargs)

    def box(self,
            centre: Sequence[float],
            size: Sequence[float],
            yaw: float = 0.,
            top: Sequence[float] = (1., 1.),
            shift: float = 0.,
            **kwargs) -> None:
        """A box, or a frustum when ``top`` differs from 1.

        Args:
            centre (Sequence[float]): (x, y, z) of its centre.
            size (Sequence[float]): (l, w, h) along x, y, z.
            yaw (float): Angle about z. Defaults to 0.
            top (Sequence[float]): Factors of the upper face in x and y.
            shift (float): Shift of the upper face along x, metres.
        """
        v = _BOX_VERTS * np.asarray(size, np.float64)
        upper = _BOX_VERTS[:, 2] > 0
        v[upper, 0] = v[upper, 0] * top[0] + shift
        v[upper, 1] *= top[1]
        if yaw:
            c, s = np.cos(yaw), np.sin(yaw)
            v = np.stack([
                c * v[:, 0] - s * v[:, 1], s * v[:, 0] + c * v[:, 1], v[:, 2]
            ], 1)
        self.add(v + np.asarray(centre), _BOX_FACES, **kwargs)

    def tube(self,
             start: Sequence[float],
             end: Sequence[float],
             radius: float,
             radius_end: Optional[float] = None,
             sides: int = 6,
             caps: bool = True,
             **kwargs) -> None:
        """A cylinder or cone between two points.

        Args:
            start (Sequence[float]): Centre of the first end, metres.
            end (Sequence[float]): Centre of the other end.
            radius (float): Radius at the first end, metres.
            radius_end (float, optional): Defaults to ``radius``.
            sides (int): Number of side faces. Defaults to 6.
            caps (bool): Whether the ends are closed. Defaults to True.
        """
        start, end = np.asarray(start, float), np.asarray(end, float)
        radius_end = radius if radius_end is None else radius_end
        x, y, z = (end - start).tolist()
        length = max(math.sqrt(x * x + y * y + z * z), 1e-9)
        x, y, z = x / length, y / length, z / length
        if abs(z) < .9:
            flat = math.hypot(x, y)
            e1 = (y / flat, -x / flat, 0.)
        else:
            flat = math.hypot(y, z)
            e1 = (0., z / flat, -y / flat)
        e2 = (y * e1[2] - z * e1[1], z * e1[0] - x * e1[2],
              x * e1[1] - y * e1[0])
        cs, faces = _ring(sides, caps)
        ring = cs[:, :1] * np.array(e1) + cs[:, 1:] * np.array(e2)
        v = np.concatenate([
            start + radius * ring, end + radius_end * ring, start[None],
            end[None]
        ])
        self.add(v, faces, **kwargs)

    def ellipsoid(self,
                  centre: Sequence[float],
                  radii: Sequence[float],
                  level: int = 1,
                  bump: float = 0.,
                  rng: Optional[np.random.Generator] = None,
                  **kwargs) -> None:
        """An ellipsoid, optionally with a bumpy surface.

        Args:
            centre (Sequence[float]): (x, y, z), metres.
            radii (Sequence[float]): Half axes, metres.
            level (int): Subdivisions of the icosahedron. Defaults to 1.
            bump (float): Relative change of the radius. Defaults to 0.
            rng (np.random.Generator, optional): Needed for ``bump``.
        """
        v, f = icosphere(level)
        if bump:
            v = v * (1 + bump * rng.uniform(-1, 1, (len(v), 1)))
        self.add(v * np.asarray(radii) + np.asarray(centre), f, **kwargs)

    def loft(self,
             sections: np.ndarray,
             materials: np.ndarray,
             colors: np.ndarray,
             caps: bool = True,
             **kwargs) -> None:
        """A skin over cross-sections.

        Args:
            sections (np.ndarray): (N, K, 3), closed polygons in order.
            materials (np.ndarray): int, (N - 1, K), one a quad.
            colors (np.ndarray): (N - 1, K, 3).
            caps (bool): Whether first and last section are filled with
                the material of their neighbours. Defaults to True.
        """
        n, k = sections.shape[:2]
        i, j = np.meshgrid(np.arange(n - 1), np.arange(k), indexing='ij')
        a, b = i * k + j, i * k + (j + 1) % k
        quads = np.stack([a, b, b + k, a + k], -1).reshape(-1, 4)
        v = sections.reshape(-1, 3)
        mats, cols = materials.reshape(-1), colors.reshape(-1, 3)
        for m in np.unique(mats):
            sel = mats == m
            q = quads[sel]
            self.add(
                v,
                np.concatenate([q[:, [0, 1, 2]], q[:, [0, 2, 3]]]),
                material=m,
                color=np.concatenate([cols[sel]] * 2),
                **kwargs)
        if caps:
            fan = np.stack(
                [np.zeros(k - 2, int),
                 np.arange(1, k - 1),
                 np.arange(2, k)], 1)
            for row, off in ((0, 0), (n - 2, (n - 1) * k)):
                self.add(
                    v,
                    fan + off,
                    material=materials[row, 0],
                    color=colors[row, 0],
                    **kwargs)

    def _pack(self) -> Mesh:
        """The primitives added so far, as arrays."""
        verts, faces, mats, cols, params, uvs, labels = zip(*self._raw)
        verts = [np.asarray(v, np.float32) for v in verts]
        faces = [np.asarray(f, np.int32) for f in faces]
        n_v = np.array([len(v) for v in verts])
        n_f = np.array([len(f) for f in faces])
        offsets = np.repeat(np.cumsum(n_v) - n_v, n_f)
        vertices = np.concatenate(verts)
        faces = (np.concatenate(faces) + offsets[:, None]).astype(np.int32)
        uv = planar_uv(vertices[faces]).astype(np.float32)
        starts = np.cumsum(n_f) - n_f
        for i, coords in enumerate(uvs):
            if coords is not None:
                uv[starts[i]:starts[i] + n_f[i]] = coords

        def spread(values, width):
            rows = np.zeros((len(n_f), width), np.float32)
            full = []
            for i, value in enumerate(values):
                value = np.asarray(value, np.float32)
                if value.ndim == 1:
                    rows[i] = value
                else:
                    full.append((i, value))
            out = np.repeat(rows, n_f, 0)
            for i, value in full:
                out[starts[i]:starts[i] + n_f[i]] = value
            return out

        return Mesh(vertices, faces, uv,
                    np.repeat(np.array(mats, np.uint8), n_f), spread(cols, 3),
                    spread(params, 4),
                    np.repeat(np.array(labels, np.uint8), n_f))

    def build(self) -> Mesh:
        """The mesh of all that was added."""
        parts = ([self._pack()] if self._raw else []) + self._parts
        if not parts:
            return Mesh(
                np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32),
                np.zeros((0, 3, 2), np.float32), np.zeros(0, np.uint8),
                np.zeros((0, 3), np.float32), np.zeros((0, 4), np.float32),
                np.zeros(0, np.uint8))
        return parts[0] if len(parts) == 1 else concat(parts)


@lru_cache(maxsize=None)
def _ring(sides: int, caps: bool) -> Tuple[np.ndarray, np.ndarray]:
    """Unit circle and the faces of a tube with that many sides."""
    a = np.arange(sides) * 2 * np.pi / sides
    i = np.arange(sides)
    j = (i + 1) % sides
    faces = [
        np.stack([i, j, j + sides], 1),
        np.stack([i, j + sides, i + sides], 1)
    ]
    if caps:
        c0, c1 = np.full(sides, 2 * sides), np.full(sides, 2 * sides + 1)
        faces += [
            np.stack([j, i, c0], 1),
            np.stack([i + sides, j + sides, c1], 1)
        ]
    return np.stack([np.cos(a), np.sin(a)], 1), np.concatenate(faces)


@lru_cache(maxsize=None)
def icosphere(level: int) -> Tuple[np.ndarray, np.ndarray]:
    """Unit sphere of triangles.

    Args:
        level (int): Number of subdivisions of the icosahedron.

    Returns:
        tuple[np.ndarray]: Vertices (V, 3) and faces (F, 3).
    """
    p = (1 + 5**.5) / 2
    v = np.array([[-1, p, 0], [1, p, 0], [-1, -p, 0], [1, -p, 0], [0, -1, p],
                  [0, 1, p], [0, -1, -p], [0, 1, -p], [p, 0, -1], [p, 0, 1],
                  [-p, 0, -1], [-p, 0, 1]]) / (1 + p * p)**.5
    f = np.array([[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11],
                  [1, 5, 9], [5, 11, 4], [11, 10, 2], [10, 7, 6], [7, 1, 8],
                  [3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9],
                  [4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1]])
    for _ in range(level):
        mids, verts, new = {}, list(v), []

        def mid(a, b):
            key = (min(a, b), max(a, b))
            if key not in mids:
                m = verts[a] + verts[b]
                mids[key] = len(verts)
                verts.append(m / np.sqrt((m**2).sum()))
            return mids[key]

        for a, b, c in f:
            ab, bc, ca = mid(a, b), mid(b, c), mid(c, a)
            new += [[a, ab, ca], [b, bc, ab], [c, ca, bc], [ab, bc, ca]]
        v, f = np.array(verts), np.array(new)
    return v, f
