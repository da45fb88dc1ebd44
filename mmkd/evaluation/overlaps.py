"""Overlap of boxes in the image and in bird's-eye view."""
import numpy as np


def rectangle_intersection(boxes_a: np.ndarray,
                           boxes_b: np.ndarray) -> np.ndarray:
    """Intersection area of pairs of rotated rectangles.

    In the frame of the first rectangle, the area below each edge of the
    second is integrated over x, with y clamped to the first. There are no
    special cases: the result is also exact for equal or almost equal
    rectangles, for which mmcv's ``box_iou_rotated`` is sometimes wrong.

    Args:
        boxes_a (np.ndarray): (N, 5): centre x, z, length, width in metres,
            and the angle in radians from x towards -z, like KITTI's
            ``rotation_y``.
        boxes_b (np.ndarray): (N, 5), likewise.

    Returns:
        np.ndarray: (N, ), square metres, float64.
    """
    a = np.asarray(boxes_a, np.float64)
    b = np.asarray(boxes_b, np.float64)
    cos, sin = np.cos(a[:, 4]), np.sin(a[:, 4])
    dx, dz = b[:, 0] - a[:, 0], b[:, 1] - a[:, 1]
    centre = np.stack([cos * dx - sin * dz, sin * dx + cos * dz])
    turn = b[:, 4] - a[:, 4]
    cos, sin = np.cos(turn), np.sin(turn)
    # Corners (4, N), counter-clockwise.
    u = np.array([-.5, .5, .5, -.5])[:, None] * b[:, 2]
    v = np.array([-.5, -.5, .5, .5])[:, None] * b[:, 3]
    x = centre[0] + cos * u + sin * v
    y = centre[1] - sin * u + cos * v
    half_x, half_y = a[:, 2] / 2, a[:, 3] / 2
    x2, y2 = np.roll(x, -1, 0), np.roll(y, -1, 0)
    left = np.clip(x, -half_x, half_x)
    right = np.clip(x2, -half_x, half_x)
    run = x2 - x
    slope = (y2 - y) / np.where(run == 0, 1, run)
    y_left, y_right = y + slope * (left - x), y + slope * (right - x)
    rise = y_right - y_left
    flat = np.abs(rise) < 1e-8

    def primitive(t: np.ndarray) -> np.ndarray:
        """Integral of ``clip(t, -half_y, half_y)`` over t."""
        inside = np.clip(t, -half_y, half_y)
        return inside**2 / 2 + np.abs(t - inside) * half_y

    mean = np.where(flat, np.clip((y_left + y_right) / 2, -half_y, half_y),
                    (primitive(y_right) - primitive(y_left)) /
                    np.where(flat, 1, rise))
    return np.maximum(((left - right) * mean).sum(0), 0)


def image_overlap(boxes: np.ndarray,
                  others: np.ndarray,
                  of_first: bool = False) -> np.ndarray:
    """IoU of boxes in an image.

    Args:
        boxes (np.ndarray): (N, 4), ``(x1, y1, x2, y2)`` in pixels.
        others (np.ndarray): (M, 4), likewise.
        of_first (bool): Divide by the area of the first box instead of the
            union. Defaults to False.

    Returns:
        np.ndarray: (N, M).
    """
    boxes = np.asarray(boxes, np.float64)[:, None]
    others = np.asarray(others, np.float64)[None]
    sides = np.minimum(boxes[..., 2:], others[..., 2:]) - np.maximum(
        boxes[..., :2], others[..., :2])
    shared = np.clip(sides, 0, None).prod(-1)
    whole = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    if not of_first:
        whole = whole + (others[..., 2:] - others[..., :2]).prod(-1) - shared
    whole = np.broadcast_to(whole, shared.shape)
    return np.divide(
        shared, whole, out=np.zeros_like(shared), where=shared > 0)
