"""Registration of two views of an object, accepted only if it helps."""
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

#: Results of registration; see :func:`register`.
ALIGNED, TOO_FEW, REJECTED = 1, 2, 3


@dataclass(frozen=True)
class IcpOptions:
    """Options of registration and acceptance criteria.

    Args:
        radius (float): Maximum distance of a pair, metres. Defaults to 0.5.
        iterations (int): Maximum number of iterations. Defaults to 30.
        tolerance (float): Stop when the RMSE changes by less, metres.
            Defaults to 1e-4.
        min_points (int): Minimum points on either side. Defaults to 30.
        min_pairs (int): Minimum number of pairs. Defaults to 20.
        min_share (float): Minimum fraction of paired points. Defaults to
            0.6.
        max_rmse_ratio (float): Maximum ratio of the RMSE after and before.
            Defaults to 0.8.
        max_yaw (float): Maximum rotation, degrees. Defaults to 15.
        max_shift (float): Maximum shift, metres. Defaults to 1.
    """
    radius: float = 0.5
    iterations: int = 30
    tolerance: float = 1e-4
    min_points: int = 30
    min_pairs: int = 20
    min_share: float = 0.6
    max_rmse_ratio: float = 0.8
    max_yaw: float = 15.
    max_shift: float = 1.


def _fit(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Least-squares yaw and shift for pairs (n, 3), as (4, 4)."""
    mean_s, mean_t = source.mean(0), target.mean(0)
    a, b = source - mean_s, target - mean_t
    yaw = np.arctan2((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum(),
                     (a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1]).sum())
    cos, sin = np.cos(yaw), np.sin(yaw)
    matrix = np.eye(4)
    matrix[:2, :2] = [[cos, -sin], [sin, cos]]
    matrix[:3, 3] = mean_t - matrix[:3, :3] @ mean_s
    return matrix


def register(view: np.ndarray,
             cloud: np.ndarray,
             options: IcpOptions = IcpOptions()):
    """Register a view of an object to its cloud.

    The method is point-to-point ICP over yaw and translation. Views from
    opposite sides have hardly any points in common and would be registered
    onto each other. A result is therefore accepted only if enough points have
    a correspondence, the error is clearly lower than before, and the motion is
    small.

    Args:
        view (np.ndarray): (N, 3), metres, in the object's frame.
        cloud (np.ndarray): (M, 3).
        options (IcpOptions): Limits.

    Returns:
        tuple[np.ndarray, int]: Transform (4, 4) of the view, the identity
        unless accepted; and :data:`ALIGNED`, :data:`TOO_FEW` or
        :data:`REJECTED`.
    """
    identity = np.eye(4)
    view = np.asarray(view, np.float64)
    cloud = np.asarray(cloud, np.float64)
    view, cloud = (x[np.isfinite(x).all(1)] for x in (view, cloud))
    if min(len(view), len(cloud)) < options.min_points:
        return identity, TOO_FEW
    tree = cKDTree(cloud)

    def pair(points):
        distance, index = tree.query(
            points, distance_upper_bound=options.radius)
        paired = np.isfinite(distance)
        rmse = np.sqrt((distance[paired]**2).mean()) if paired.any() else 0.
        return paired, index[paired], rmse

    motion = identity
    paired, index, before = pair(view)
    share_before, rmse = paired.mean(), before
    for _ in range(options.iterations):
        if paired.sum() < options.min_pairs:
            return identity, TOO_FEW
        moved = view @ motion[:3, :3].T + motion[:3, 3]
        motion = _fit(moved[paired], cloud[index]) @ motion
        last = rmse
        paired, index, rmse = pair(view @ motion[:3, :3].T + motion[:3, 3])
        if abs(last - rmse) < options.tolerance:
            break
    yaw = np.degrees(np.abs(np.arctan2(motion[1, 0], motion[0, 0])))
    taken = (
        np.isfinite(motion).all() and paired.sum() >= options.min_pairs
        and paired.mean() >= max(options.min_share, share_before)
        and rmse <= options.max_rmse_ratio * before and yaw <= options.max_yaw
        and np.linalg.norm(motion[:3, 3]) <= options.max_shift)
    return (motion, ALIGNED) if taken else (identity, REJECTED)
