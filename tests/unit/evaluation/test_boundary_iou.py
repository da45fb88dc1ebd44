import pytest
import torch

from mmkd.evaluation.boundary_iou import BoundaryIoUMetric, boundaries


def square(top, size=4):
    """A square of class 1 on 10 by 10 pixels of class 0."""
    labels = torch.zeros(10, 10, dtype=torch.long)
    labels[top:top + size, 3:3 + size] = 1
    return labels


def score(predicted, truth, **kwargs):
    metric = BoundaryIoUMetric(**{'width': 1, **kwargs})
    metric.dataset_meta = dict(classes=['ground', 'square', 'absent'])
    metric.process({}, [
        dict(
            pred_sem_seg=dict(data=predicted[None]),
            gt_sem_seg=dict(data=truth[None]))
    ])
    return metric.evaluate(1)['mBIoU']


def test_boundaries_by_hand():
    valid = torch.ones(10, 10, dtype=torch.bool)
    labels = square(2)
    near = boundaries(labels, 1, valid)
    ground, inside = near & (labels == 0), near & (labels == 1)
    # The ring of the square: 16 cells without the 4 in the middle.
    ring = square(2) == 1
    ring[3:5, 4:6] = False
    assert inside.equal(ring)
    # Around the square, and along the frame.
    assert ground[0].all() and ground[1, 2:8].all()
    assert not ground[8, 1:9].any() and not (ground & inside).any()


def test_score_by_hand():
    valid = torch.ones(10, 10, dtype=torch.bool)
    expected = []
    for label in (0, 1):
        a, b = (
            boundaries(x, 1, valid) & (x == label)
            for x in (square(2), square(3)))
        expected.append((100 * (a & b).sum() / (a | b).sum()).item())
    # Rings of 12 cells, a pixel apart: they share 3 cells of each side.
    assert expected[1] == pytest.approx(100 * 6 / 18)
    # A class that does not occur is left out of the mean.
    assert score(square(2), square(3)) == pytest.approx(sum(expected) / 2)
    assert score(square(2), square(2)) == 100


def test_ignored_pixels_count_nowhere():
    truth = square(2)
    truth[6:] = 255
    assert score(square(2), truth) == score(square(2, 4), truth) == 100
    # What is predicted there is neither right nor wrong.
    other = square(2)
    other[7:] = 2
    assert score(other, truth) == 100


def test_width_follows_the_size_of_the_image():
    metric = BoundaryIoUMetric()
    assert metric.band_width((300, 400)) == 10
    assert metric.band_width((10, 10)) == 1
    assert BoundaryIoUMetric(width=3).band_width((300, 400)) == 3
