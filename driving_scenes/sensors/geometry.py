"""One geometry for all sensors: static parts once, moving parts per frame.

Ray casting runs on one thread of Open3D, so the hits do not depend on the
number of workers.
"""
from dataclasses import dataclass, fields
from typing import Optional, Sequence, Tuple

import numpy as np
import open3d as o3d

from ..meshes import Mesh, concat
from ..world import World


def _scene(mesh: Mesh) -> 'o3d.t.geometry.RaycastingScene':
    scene = o3d.t.geometry.RaycastingScene(nthreads=1)
    if len(mesh):
        scene.add_triangles(
            o3d.core.Tensor(np.ascontiguousarray(mesh.vertices, np.float32)),
            o3d.core.Tensor(mesh.faces.astype(np.uint32)))
    return scene


@dataclass
class Hits:
    """First hits of rays.

    Args:
        distance (np.ndarray): float32, (N, ), in units of the length of the
            ray's direction; infinite without a hit.
        material (np.ndarray): uint8, (N, ).
        label (np.ndarray): uint8, (N, ), Cityscapes label id.
        instance (np.ndarray): int32, (N, ), track id, 0 for none.
        uv (np.ndarray): float32, (N, 2), texture coordinates.
        color (np.ndarray): float32, (N, 3).
        param (np.ndarray): float32, (N, 4).
        normal (np.ndarray): float32, (N, 3), unit length.
    """
    distance: np.ndarray
    material: np.ndarray
    label: np.ndarray
    instance: np.ndarray
    uv: np.ndarray
    color: np.ndarray
    param: np.ndarray
    normal: np.ndarray

    @classmethod
    def concatenate(cls, parts: Sequence['Hits']) -> 'Hits':
        """The hits of several casts, one after another."""
        if len(parts) == 1:
            return parts[0]
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts])
                     for f in fields(cls)))


class WorldGeometry:
    """The triangles of a world at a time, ready for ray casting.

    Args:
        world (World): The world; objects that never move join the static
            part.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        standing = [o for o in world.objects if o.is_static]
        self._moving = [o for o in world.objects if not o.is_static]
        self._static = self._pack([(world.static, 0)] +
                                  [(o.mesh_at(0.), o.track_id)
                                   for o in standing])
        self._dynamic = self._pack([])
        self._time: Optional[float] = None
        self._ego_part: Optional[Mesh] = None

    @staticmethod
    def _pack(parts) -> Tuple:
        mesh = concat([m for m, _ in parts])
        ids = np.concatenate([np.full(len(m), i, np.int32)
                              for m, i in parts]) if parts else \
            np.zeros(0, np.int32)
        return mesh, ids, _scene(mesh)

    def ego_pose(self, t: float) -> Tuple[np.ndarray, np.ndarray]:
        """Rotation (3, 3) and translation (3, ) from ego to world."""
        xyz, yaw = self.world.ego.pose(t)
        c, s = np.cos(yaw), np.sin(yaw)
        return np.array([[c, -s, 0.], [s, c, 0.], [0., 0., 1.]]), xyz

    def set_time(self, t: float, ego_part: Optional[Mesh] = None) -> None:
        """Moves all objects to their positions at a time.

        Args:
            t (float): Seconds.
            ego_part (Mesh, optional): Visible part of the ego vehicle, in
                its frame.
        """
        if self._time == t and self._ego_part is ego_part:
            return
        parts = [(o.mesh_at(t), o.track_id) for o in self._moving]
        if ego_part is not None:
            rotation, translation = self.ego_pose(t)
            yaw = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
            parts.append((ego_part.moved(translation, yaw), 0))
        self._dynamic = self._pack(parts)
        self._time, self._ego_part = t, ego_part

    def cast(self, origins: np.ndarray, directions: np.ndarray) -> Hits:
        """First hits of rays.

        Args:
            origins (np.ndarray): (3, ) or (N, 3), metres, world frame.
            directions (np.ndarray): (N, 3), any length.

        Returns:
            Hits: Arrays of N rows.
        """
        n = len(directions)
        rays = np.empty((n, 6), np.float32)
        rays[:, :3], rays[:, 3:] = origins, directions
        tensor = o3d.core.Tensor(rays)
        out = Hits(
            np.full(n, np.inf, np.float32), np.zeros(n, np.uint8),
            np.zeros(n, np.uint8), np.zeros(n, np.int32),
            np.zeros((n, 2), np.float32), np.zeros((n, 3), np.float32),
            np.zeros((n, 4), np.float32), np.zeros((n, 3), np.float32))
        for mesh, ids, scene in (self._static, self._dynamic):
            if not len(mesh):
                continue
            res = scene.cast_rays(tensor, nthreads=1)
            dist = res['t_hit'].numpy()
            idx = np.flatnonzero(dist < out.distance)
            prim = res['primitive_ids'].numpy()[idx].astype(np.int64)
            bary = res['primitive_uvs'].numpy()[idx]
            out.distance[idx] = dist[idx]
            out.material[idx] = mesh.material[prim]
            out.label[idx] = mesh.label[prim]
            out.instance[idx] = ids[prim]
            out.color[idx] = mesh.color[prim]
            out.param[idx] = mesh.param[prim]
            out.normal[idx] = res['primitive_normals'].numpy()[idx]
            uv = mesh.uv[prim]
            b1, b2 = bary[:, :1], bary[:, 1:]
            out.uv[idx] = uv[:, 0] * (1 - b1 - b2) + uv[:, 1] * b1 + \
                uv[:, 2] * b2
        return out

    def occluded(self, origins: np.ndarray, directions: np.ndarray,
                 reach: float) -> np.ndarray:
        """Whether rays are blocked.

        Args:
            origins (np.ndarray): (N, 3), metres.
            directions (np.ndarray): (3, ) or (N, 3), unit length.
            reach (float): Maximum distance, metres.

        Returns:
            np.ndarray: bool, (N, ).
        """
        n = len(origins)
        rays = np.empty((n, 6), np.float32)
        rays[:, :3], rays[:, 3:] = origins, directions
        tensor = o3d.core.Tensor(rays)
        hit = np.zeros(n, bool)
        for mesh, _, scene in (self._static, self._dynamic):
            if len(mesh):
                hit |= scene.test_occlusions(
                    tensor, tfar=reach, nthreads=1).numpy()
        return hit
