"""Scores and pictures of 3D boxes, seen from above."""
from typing import Any, NamedTuple, Optional

import numpy as np
import torch
from torch import Tensor

from mmkd.visualization import Scene

#: Side of a picture in pixels, and what it shows at most on each side of the
#: sensor, in metres.
_SIDE, _REACH = 420, 60.
_GROUND = (24, 24, 28)
_TRUTH, _FOUND = 'eval_ann_info', 'pred_instances_3d'


class Objects(NamedTuple):
    """Boxes from above.

    Attributes:
        boxes (Tensor): (n, 5): centre, size and angle. In metres and radians.
        corners (Tensor): (n, 4, 2), in metres.
        labels (Tensor): (n, ), class numbers.
        forwards (int): The axis of the corners that points ahead.
    """
    boxes: Tensor
    corners: Tensor
    labels: Tensor
    forwards: int


def has_objects(sample: Any) -> bool:
    """Whether a data sample, or its dict, has true and predicted boxes."""
    return _FOUND in sample and 'gt_bboxes_3d' in (sample.get(_TRUTH) or {})


def true_objects(sample: Any) -> Objects:
    """The objects of a sample; those of ignored classes are left out."""
    truth = sample.get(_TRUTH)
    labels = torch.as_tensor(truth['gt_labels_3d'])
    return _objects(truth['gt_bboxes_3d'], labels, labels >= 0)


def found_objects(sample: Any, threshold: float) -> Objects:
    """The predicted objects of at least this score."""
    found = sample.get(_FOUND)
    keep = found.get('scores_3d').cpu() >= threshold
    return _objects(found.get('bboxes_3d'), found.get('labels_3d').cpu(), keep)


def _objects(boxes: Any, labels: Tensor, keep: Tensor) -> Objects:
    from mmdet3d.structures import CameraInstance3DBoxes
    boxes = boxes.to('cpu')[keep]
    camera = isinstance(boxes, CameraInstance3DBoxes)
    flat = [0, 2] if camera else [0, 1]
    # The four corners of a side that lies flat, in order around it.
    ring = [0, 1, 5, 4] if camera else [0, 3, 7, 4]
    corners = boxes.corners[:, ring][:, :, flat].float()
    return Objects(boxes.bev.float(), corners, labels[keep], int(camera))


def overlaps(truth: Objects, found: Objects) -> Tensor:
    """IoU from above of each true and each predicted object, (n, m)."""
    from mmcv.ops import box_iou_rotated
    if not len(truth.labels) or not len(found.labels):
        return torch.zeros(len(truth.labels), len(found.labels))
    return box_iou_rotated(truth.boxes, found.boxes)


def draw(points: Optional[Tensor], objects: Objects,
         scene: Scene) -> np.ndarray:
    """Draw points and boxes; ahead is up.

    Args:
        points (Tensor, optional): (N, 3+), in metres, x ahead and y to the
            left.
        objects (Objects): What to draw.
        scene (Scene): Gives the colours of classes.

    Returns:
        np.ndarray: RGB picture.
    """
    from PIL import Image, ImageDraw
    picture = np.full((_SIDE, _SIDE, 3), _GROUND, np.uint8)
    # Sensors that look ahead only need no space for what is behind.
    behind = points is not None and bool((points[:, 0] < -1).any())
    scale = _SIDE / (2 * _REACH if behind else _REACH)

    def pixels(ahead: Tensor, left: Tensor) -> np.ndarray:
        bottom = _SIDE / 2 if behind else _SIDE
        return np.stack(
            [_SIDE / 2 - scale * left.numpy(), bottom - scale * ahead.numpy()],
            -1)

    if points is not None:
        x, y = pixels(points[:, 0], points[:, 1]).astype(int).T
        inside = (x >= 0) & (x < _SIDE) & (y >= 0) & (y < _SIDE)
        picture[y[inside], x[inside]] = 150
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    ahead = objects.corners[..., objects.forwards]
    left = objects.corners[..., 1 - objects.forwards]
    # x of a camera points to the right.
    rings = pixels(ahead, -left if objects.forwards else left)
    for ring, label in zip(rings, objects.labels.tolist()):
        color = tuple(round(255 * c) for c in scene.color(label))
        pen.polygon([tuple(corner) for corner in ring], outline=color, width=2)
    return np.asarray(image)
