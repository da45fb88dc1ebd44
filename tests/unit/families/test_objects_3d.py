"""Lists of objects that methods keep and join."""
import torch

from mmkd.families.objects_3d import join_objects, kept_objects, true_objects
from mmkd.testing.accelerator import DEVICE, PretendedAccelerator, values
from mmkd.testing.lidar import lidar_batch


def objects_of(box_size=9):
    return true_objects(lidar_batch(1, box_size=box_size)['data_samples'][0])


def test_objects_that_a_mask_keeps():
    objects, kept = objects_of(), torch.tensor([False, True])
    found = kept_objects(objects, kept)
    assert found.bboxes_3d.tensor.equal(objects.bboxes_3d.tensor[1:])
    # On another device the others are there, without a size.
    with PretendedAccelerator() as accelerator:
        objects.bboxes_3d = objects.bboxes_3d.to(DEVICE)
        found = kept_objects(objects, kept.to(DEVICE))
    assert not accelerator.own(accelerator.waits)
    boxes = values(found.bboxes_3d.tensor)
    assert boxes[:, 3:6].any(1).tolist() == kept.tolist()
    assert values(objects.bboxes_3d.tensor)[:, 3:6].all()  # as before


def test_objects_are_joined_in_order():
    """The codes of longer boxes are cut."""
    short, long = objects_of(7), objects_of(9)
    found = join_objects([short, long], short)
    assert type(found.bboxes_3d) is type(short.bboxes_3d)
    assert found.bboxes_3d.tensor.equal(
        torch.cat([short.bboxes_3d.tensor, long.bboxes_3d.tensor[:, :7]]))
    assert found.labels_3d.tolist() == [0] * 4


def test_boxes_that_an_assigner_replaced():
    sample = lidar_batch(1)['data_samples'][0]
    boxes = sample.gt_instances_3d.bboxes_3d
    sample.gt_instances_3d.bboxes_3d = boxes.tensor
    found = true_objects(sample).bboxes_3d
    assert type(found) is type(boxes) and found.tensor.equal(boxes.tensor)
