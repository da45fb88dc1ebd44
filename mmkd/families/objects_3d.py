"""Lists of 3D objects, as the heads of mmdet3d take them."""
from typing import Any, Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor


def true_objects(sample: Any) -> InstanceData:
    """Boxes and labels of a data sample, with boxes as objects.

    An ``Anchor3DHead`` with one assigner replaces them with their tensor
    during assignment.
    """
    objects = sample.gt_instances_3d
    boxes = objects.bboxes_3d
    if isinstance(boxes, Tensor):
        boxes = sample.metainfo['box_type_3d'](boxes, box_dim=boxes.size(1))
    return InstanceData(bboxes_3d=boxes, labels_3d=objects.labels_3d)


def kept_objects(objects: InstanceData, kept: Tensor) -> InstanceData:
    """The objects of a frame that a mask keeps.

    Args:
        objects (InstanceData): n objects.
        kept (Tensor): (n, ), bool, on their device.

    Returns:
        InstanceData: Unless the device is the CPU, other objects remain
        without a size, which makes heads skip them: the host would have to
        wait for the number of those that are kept.
    """
    if kept.device.type == 'cpu':
        return objects[kept]
    boxes = objects.bboxes_3d
    tensor = boxes.tensor.clone()
    tensor[:, 3:6] *= kept[:, None]
    found = InstanceData(**dict(objects.items()))
    found.bboxes_3d = boxes.new_box(tensor)
    return found


def join_objects(parts: Sequence[InstanceData],
                 like: InstanceData) -> InstanceData:
    """The objects of several lists of a frame, in this order.

    Args:
        parts (Sequence[InstanceData]): ``bboxes_3d`` and ``labels_3d``; codes
            may be longer than those of ``like``.
        like (InstanceData): Objects of the wanted type and device.
    """
    boxes, labels = like.bboxes_3d, like.labels_3d
    return InstanceData(
        bboxes_3d=boxes.new_box(
            torch.cat([
                part.bboxes_3d.tensor[:, :boxes.box_dim].to(boxes.tensor)
                for part in parts
            ])),
        labels_3d=torch.cat([part.labels_3d.to(labels) for part in parts]))
