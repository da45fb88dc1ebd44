"""Boxes with a full pose, and the points in them."""
from typing import List, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

#: Size of a box: centre, size, quaternion.
BOX_SIZE = 10


def upright_box(centre: Sequence[float], size: Sequence[float],
                yaw: float) -> np.ndarray:
    """An upright box, as ten numbers.

    Args:
        centre (Sequence[float]): Centre (x, y, z), metres.
        size (Sequence[float]): (length, width, height), metres.
        yaw (float): Heading about z, radians.

    Returns:
        np.ndarray: (10, ), float64: centre, size, quaternion (w, x, y, z).
    """
    return np.array([*centre, *size, np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)])


def box_of_pose(pose: np.ndarray, size: Sequence[float]) -> np.ndarray:
    """A box from its pose.

    Args:
        pose (np.ndarray): (4, 4), from the box's own frame (origin at its
            centre, x along the length, z up) to the outer frame.
        size (Sequence[float]): (length, width, height), metres.

    Returns:
        np.ndarray: (10, ), see :func:`upright_box`.
    """
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
    sign = -1. if w < 0 else 1.
    return np.array(
        [*pose[:3, 3], *size, sign * w, sign * x, sign * y, sign * z])


def pose_of_box(box: np.ndarray) -> np.ndarray:
    """Transform from a box's own frame to the outer frame.

    Args:
        box (np.ndarray): (10, ), see :func:`upright_box`.

    Returns:
        np.ndarray: (4, 4), float64.
    """
    w, x, y, z = box[6:]
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix()
    pose[:3, 3] = box[:3]
    return pose


def yaw_of_box(box: np.ndarray) -> float:
    """Heading of a box's length in the plane, radians."""
    x, y = pose_of_box(box)[:2, 0]
    return float(np.arctan2(y, x))


def is_proper(box: np.ndarray) -> bool:
    """Whether all numbers of a box are finite and its sizes positive."""
    return bool(np.isfinite(box).all() and (box[3:6] > 0).all())


def transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Move points (N, 3) by a matrix (4, 4), in float64."""
    points = np.asarray(points, np.float64)
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def points_in_box(points: np.ndarray,
                  box: np.ndarray,
                  margin: float = 0.) -> np.ndarray:
    """Indices of the points in a box, including its surface.

    Args:
        points (np.ndarray): (N, 3) or more columns, metres.
        box (np.ndarray): (10, ), see :func:`upright_box`.
        margin (float): Enlargement of the box on each side, metres. Defaults
            to 0.

    Returns:
        np.ndarray: Increasing indices.
    """
    half = box[3:6] / 2 + margin
    reach = np.linalg.norm(half) + 1e-3
    near = np.flatnonzero((np.abs(points[:, 0] - box[0]) <= reach)
                          & (np.abs(points[:, 1] - box[1]) <= reach))
    local = (points[near, :3].astype(np.float64) -
             box[:3]) @ pose_of_box(box)[:3, :3]
    return near[(np.abs(local) <= half).all(1)]


def points_in_boxes(points: np.ndarray,
                    boxes: np.ndarray,
                    margin: float = 0.) -> List[np.ndarray]:
    """Indices of the points in each box; empty for invalid boxes.

    Args:
        points (np.ndarray): (N, 3) or more columns, metres.
        boxes (np.ndarray): (n, 10), see :func:`upright_box`.
        margin (float): See :func:`points_in_box`. Defaults to 0.
    """
    nothing = np.zeros(0, np.int64)
    return [
        points_in_box(points, box, margin) if is_proper(box) else nothing
        for box in boxes
    ]
