"""Placing objects of a plan without collisions."""
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..meshes import Mesh, concat
from ..world import Motion, SceneObject, World
from .greenery import Greenery
from .street import CURB, Plan

Size = Tuple[float, float, float]


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
    """Bounds (low x, low y, high x, high y) of a track (T, 5), for any yaw."""
    half = (boxes[:, 3:4] + boxes[:, 4:]) / 2
    return np.concatenate([(boxes[:, :2] - half).min(0),
                           (boxes[:, :2] + half).max(0)])


class Site:
    """Collects the parts of a world; placed objects never collide.

    Args:
        plan (Plan): The plan; the ego vehicle is placed first.
        greenery (Greenery): Trees and bushes to place.
    """

    def __init__(self, plan: Plan, greenery: Greenery) -> None:
        self.plan, self.greenery = plan, greenery
        self.parts: List[Mesh] = []
        self.objects: List[SceneObject] = []
        self.lamps: List[np.ndarray] = []
        self.areas: Dict[str, List[np.ndarray]] = {}
        self._boxes = np.zeros((0, len(plan.times), 5))
        # Swept area of each track: (low x, low y, high x, high y).
        self._areas = np.zeros((0, 4))
        ego = self._track(plan.ego_motion(), (6., 2.2))
        # The origin is the rear axle, which is behind the car's centre.
        ego[:, 0] += 1.4 * np.cos(ego[:, 2])
        ego[:, 1] += 1.4 * np.sin(ego[:, 2])
        self._claim(ego)

    def world(self, name: str) -> World:
        """The world of all parts that were placed."""
        return World(name,
                     self.plan.city.name, concat(self.parts), self.objects,
                     self.plan.ego_motion(), self.plan.conditions,
                     self.plan.duration,
                     np.array(self.lamps).reshape(-1, 3), self.areas)

    def put(self,
            mesh: Mesh,
            s: float,
            d: float,
            yaw: float = 0.,
            z: float = CURB,
            foot: Optional[Sequence[float]] = (.4, .4),
            scale: float = 1.) -> bool:
        """Place furniture, unless it would collide.

        Args:
            mesh (Mesh): In its own frame.
            s (float): Metres along the street.
            d (float): Metres to its left.
            yaw (float): Relative to the street, radians.
            z (float): Height of the ground there.
            foot (Sequence[float], optional): (l, w) of its footprint; None
                disables the check.
            scale (float): Factor on its size.

        Returns:
            bool: Whether it was placed.
        """
        if foot is not None:
            box = self._spot(s, d, yaw, foot)
            if not self._free(box, .1):
                return False
            self._claim(box)
        street = self.plan.street
        x, y = street.to_world(s, d)
        self.parts.append(
            mesh.moved((x, y, z),
                       street.heading(s) + yaw, scale))
        return True

    def plant(self,
              rng: np.random.Generator,
              s: float,
              d: float,
              slim: bool = False,
              foot: Optional[Sequence[float]] = None) -> bool:
        """Place a tree, unless it would collide; see :meth:`put`."""
        kit = self.greenery.slim if slim else self.greenery.trees
        return self.put(
            kit[rng.integers(len(kit))],
            s,
            d,
            rng.uniform(0, 2 * np.pi),
            foot=foot,
            scale=rng.uniform(.8, 1.2))

    def bush(self,
             rng: np.random.Generator,
             s: float,
             d: float,
             scale: float = 1.) -> None:
        """Place a bush without checking for collisions."""
        kit = self.greenery.bushes
        self.put(
            kit[rng.integers(len(kit))],
            s,
            d,
            rng.uniform(0, 6),
            foot=None,
            scale=scale)

    def park(self,
             category: str,
             made: Tuple[Mesh, Size],
             s: float,
             d: float,
             yaw: float,
             z: float = 0.,
             attribute: str = 'vehicle.parked') -> bool:
        """Place a standing object, unless it would collide.

        Args:
            category (str): See :data:`..labels.CATEGORY_LABELS`.
            made (tuple): Its mesh, and (l, w, h) in metres.
            s (float): Metres along the street.
            d (float): Metres to its left.
            yaw (float): Relative to the street, radians.
            z (float): Height of the ground there.
            attribute (str): Name as in nuScenes.

        Returns:
            bool: Whether it was placed.
        """
        mesh, size = made
        box = self._spot(s, d, yaw, size)
        if not self._free(box):
            return False
        x, y, heading = box[0, :3].tolist()
        self._add(box, category, size, Motion.standing(x, y, heading, z), mesh,
                  None, attribute)
        return True

    def drive(self,
              category: str,
              size: Size,
              s: np.ndarray,
              d: np.ndarray,
              mesh: Optional[Mesh] = None,
              pose_mesh: Optional[Callable[[float], Mesh]] = None,
              attribute: str = 'vehicle.moving',
              yaw: Optional[np.ndarray] = None,
              z: Optional[np.ndarray] = None) -> bool:
        """Add a moving object, unless it would collide.

        Args:
            category (str): See :data:`..labels.CATEGORY_LABELS`.
            size (tuple[float]): (l, w, h), metres.
            s (np.ndarray): (T, ), metres along the street at the plan's
                times.
            d (np.ndarray): (T, ), metres to its left.
            mesh (Mesh, optional): Rigid shape in its own frame.
            pose_mesh (Callable, optional): Shape at a time, in world
                coordinates.
            attribute (str): Name as in nuScenes.
            yaw (np.ndarray, optional): (T, ), radians. Defaults to None: the
                direction of motion.
            z (np.ndarray, optional): (T, ), height of the ground. Defaults
                to None: the road.

        Returns:
            bool: Whether it was added.
        """
        motion = self.plan.path(s, d, yaw)
        boxes = self._track(motion, size)
        if not self._free(boxes, .35):
            return False
        if z is not None:
            motion.xyz[:, 2] = z
        self._add(boxes, category, size, motion, mesh, pose_mesh, attribute)
        return True

    def _add(self, boxes: np.ndarray, category: str, size: Size, *args:
             Any) -> None:
        self._claim(boxes)
        self.objects.append(
            SceneObject(len(self.objects) + 1, category, tuple(size), *args))

    def _spot(self, s: float, d: float, yaw: float,
              size: Sequence[float]) -> np.ndarray:
        """A standing rectangle as a track (T, 5)."""
        street = self.plan.street
        x, y = street.to_world(s, d)
        box = np.array([x, y, street.heading(s) + yaw, *size[:2]])
        return np.broadcast_to(box, (len(self.plan.times), 5))

    @staticmethod
    def _track(motion: Motion, size: Sequence[float]) -> np.ndarray:
        return np.concatenate([
            motion.xyz[:, :2], motion.yaw[:, None],
            np.tile(np.array(size[:2], float), (len(motion.yaw), 1))
        ], 1)

    def _free(self, boxes: np.ndarray, margin: float = .25) -> bool:
        """Whether a track (T, 5) collides with nothing placed so far."""
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
