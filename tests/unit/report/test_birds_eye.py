import numpy as np
import pytest
import torch
from mmdet3d.structures import (CameraInstance3DBoxes, Det3DDataSample,
                                LiDARInstance3DBoxes)
from mmengine.structures import InstanceData

from mmkd.report.birds_eye import (draw, found_objects, has_objects, overlaps,
                                   true_objects)
from mmkd.report.evaluation import _f1
from mmkd.visualization import Scene

SCENE = Scene('', classes=['car', 'cyclist'], palette=[(255, 0, 0)] * 2)
CAR = [20., 5., -1., 4., 2., 1.5, 0.]


def lidar_sample(true, found, labels=(0, 1, -1)):
    """A car, a cyclist and an object of an ignored class, and detections."""
    return Det3DDataSample(
        eval_ann_info=dict(
            gt_bboxes_3d=LiDARInstance3DBoxes(torch.tensor(true)),
            gt_labels_3d=np.array(labels[:len(true)])),
        pred_instances_3d=InstanceData(
            bboxes_3d=LiDARInstance3DBoxes(torch.tensor(found)),
            labels_3d=torch.zeros(len(found), dtype=torch.long),
            scores_3d=torch.linspace(1, .1, len(found))))


@pytest.mark.parametrize('as_dict', [False, True])
def test_objects(as_dict):
    near = [20.2, *CAR[1:]]
    far = [40., *CAR[1:]]
    sample = lidar_sample([CAR, [30., *CAR[1:]], far], [near, far])
    sample = sample.to_dict() if as_dict else sample
    assert has_objects(sample)
    truth, found = true_objects(sample), found_objects(sample, 0.3)
    assert truth.labels.tolist() == [0, 1]
    assert found.labels.tolist() == [0]
    iou = overlaps(truth, found)
    assert iou.shape == (2, 1)
    assert iou[0, 0].item() == pytest.approx(3.8 / 4.2, rel=1e-4)
    assert _f1(iou, truth.labels, found.labels) == pytest.approx(2 / 3)
    assert overlaps(truth, found_objects(sample, 2.)).shape == (2, 0)


def test_no_boxes():
    assert not has_objects(Det3DDataSample())
    assert not has_objects(dict(pred_instances_3d={}, eval_ann_info=None))


def drawn(picture):
    """Centre of what is red, and its height and width."""
    rows, columns = np.nonzero(picture[..., 0] > picture[..., 1] + 100)
    centre = [(x.min() + x.max()) / 2 for x in (rows, columns)]
    return (*centre, np.ptp(rows), np.ptp(columns))


def test_both_frames_are_drawn_alike():
    truth = true_objects(lidar_sample([CAR], [CAR]))
    points = torch.tensor([[10., 0., 0.], [500., 0., 0.]])
    picture = draw(points, truth, SCENE)
    assert picture.shape == (420, 420, 3)
    row, column, height, width = drawn(picture)
    # 7 pixels a metre, the sensor at the lower edge; y points to the left.
    assert row == pytest.approx(420 - 20 * 7, abs=1.5)
    assert column == pytest.approx(210 - 5 * 7, abs=1.5)
    assert height == pytest.approx(4 * 7, abs=2)
    assert width == pytest.approx(2 * 7, abs=2)
    assert (picture[420 - 70, 210] == 150).all()

    # x points to the right and z ahead; length, height and width.
    boxes = CameraInstance3DBoxes(
        torch.tensor([[-5., 1., 20., 4., 1.5, 2., -np.pi / 2]]))
    sample = lidar_sample([CAR], [CAR])
    sample.eval_ann_info['gt_bboxes_3d'] = boxes
    assert drawn(draw(None, true_objects(sample), SCENE)) == pytest.approx(
        (row, column, height, width), abs=1.5)


def test_room_behind_the_sensor():
    points = torch.tensor([[-20., 0., 0.]])
    truth = true_objects(lidar_sample([CAR], [CAR]))
    row, column, *_ = drawn(draw(points, truth, SCENE))
    assert row == pytest.approx(210 - 20 * 3.5, abs=1.5)
    assert column == pytest.approx(210 - 5 * 3.5, abs=1.5)
