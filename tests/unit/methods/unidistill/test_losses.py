"""UniDistill's losses against the authors' functions, and their bounds."""
import math

import pytest
import torch

from mmkd.methods.unidistill.losses import (box_gaussian_mask, box_key_points,
                                            class_heat, gaussian_radius,
                                            key_point_distance,
                                            key_point_relations,
                                            masked_distance, points_in_range,
                                            relation_distance, sample_bev)

EXTENT = (-6., -6., 6., 6.)
BOXES = [
    torch.tensor([[1.3, -2.2, 3., 1.5, .3], [-3.4, 2.5, .7, .7, 0.]]),
    torch.tensor([[4.1, 4.6, 5., 2., -1.2]])
]


def field(function, channels):
    """Maps (2, C, 20, 20) of the golden case: f(channel, row, column, b)."""
    b, c, i, j = torch.meshgrid(
        *(torch.arange(n, dtype=torch.float32) for n in (2, channels, 20, 20)),
        indexing='ij')
    return function(c, i, j, b)


def student_map(channels):
    return field(
        lambda c, i, j, b: torch.sin(.3 * (c + 1) + .2 * i - .1 * j + .5 * b),
        channels)


def teacher_map(channels):
    return field(
        lambda c, i, j, b: torch.cos(.2 *
                                     (c + 1) - .15 * i + .25 * j - .4 * b),
        channels)


def samples(channels, **kwargs):
    points = [box_key_points(box) for box in BOXES]
    return [
        sample_bev(make(channels), points, EXTENT, **kwargs)
        for make in (student_map, teacher_map)
    ]


def mask():
    return box_gaussian_mask(BOXES, (20, 20), EXTENT)


def test_golden_points():
    points = box_key_points(BOXES[0])[0]
    expected = [[.088635, -3.359783], [-.354645, -1.926778],
                [2.511365, -1.040217], [2.954645, -2.473222], [1.3, -2.2],
                [-.133005, -2.643280], [1.078360, -1.483498],
                [2.733005, -1.756720], [1.521640, -2.916502]]
    assert (points - torch.tensor(expected)).abs().max() < 1e-5
    found = samples(4)[0][0, 4]
    expected = torch.tensor([.294479, .562543, .780356, .928463])
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize('swapped, feature, relation',
                         [(False, .878112, .063558), (True, .662845, .164915)])
def test_golden_features_and_relations(swapped, feature, relation):
    low, high = (samples(n, transpose_xy=swapped) for n in (4, 6))
    assert key_point_distance(*low).item() == pytest.approx(feature, abs=2e-6)
    assert relation_distance(*high).item() == pytest.approx(relation, abs=2e-6)


def test_golden_mask():
    found = mask()
    assert found.sum((1, 2)).tolist() == pytest.approx([2., 1.614604],
                                                       abs=1e-5)
    # Rows are y.
    assert (found == 1).nonzero().tolist() == [[0, 6, 12], [0, 14, 4],
                                               [1, 17, 16]]
    assert found.min() >= 0


@pytest.mark.parametrize('branches, expected', [((2, 1, 3, 2, 2), .713096),
                                                ((2, 1, 3, 2, 2, 1), .757081)])
def test_golden_regression(branches, expected):
    channels = 6 * sum(branches)
    made = [
        field(lambda m, i, j, b: torch.sin(.1 * m + .05 * i + .03 * j + b),
              channels),
        field(lambda m, i, j, b: torch.cos(.07 * m - .04 * i + .06 * j - b),
              channels)
    ]
    assert masked_distance(*made, mask()).item() == pytest.approx(
        expected, abs=2e-6)


@pytest.mark.parametrize('tau, expected', [(1., .087142), (2., .155012)])
def test_golden_classes(tau, expected):
    logits_s = field(
        lambda k, i, j, b: -2 + 1.5 * torch.sin(.3 * k + .2 * i + .1 * j + b),
        10)
    logits_t = field(
        lambda k, i, j, b: -2 + 1.5 * torch.cos(.25 * k + .1 * i - .2 * j + b),
        10)
    loss = masked_distance(
        class_heat([logits_s]), class_heat([logits_t], tau), mask())
    assert loss.item() == pytest.approx(expected, abs=2e-6)
    # The order of the tasks plays no part.
    parts = logits_s.split([1, 2, 2, 1, 2, 2], 1)
    assert class_heat(parts[::-1]).equal(class_heat([logits_s]))


def test_equal_maps():
    student, _ = samples(4)
    assert key_point_distance(student, student) == 0
    assert relation_distance(student, student) == 0
    values = student_map(3)
    assert masked_distance(values, values, mask()) == 0


def test_coordinates():
    # A map of its own coordinates, on a grid that is not square.
    extent = (-8., -3., 4., 5.)
    y, x = torch.meshgrid(
        torch.arange(16) * .5 - 2.75, torch.arange(12) - 7.5, indexing='ij')
    box = torch.tensor([[-1.3, 1.4, 2., 1., .4]])
    found = sample_bev(
        torch.stack([x, y])[None], [box_key_points(box)], extent)
    assert (found[0] - box_key_points(box)[0]).abs().max() < 1e-4


def test_corners():
    flat = box_key_points(torch.tensor([[1., 2., 4., 2., 0.]]))[0]
    assert flat[:4].tolist() == [[-1, 1], [-1, 3], [3, 3], [3, 1]]
    assert flat[4].tolist() == [1, 2]
    assert flat[5:].tolist() == [[-1, 2], [1, 3], [3, 2], [1, 1]]
    turned = box_key_points(torch.tensor([[1., 2., 4., 2., math.pi / 2]]))[0]
    size = turned[:4].amax(0) - turned[:4].amin(0)
    assert size.tolist() == pytest.approx([2, 4], abs=1e-5)


def test_the_same_box_written_otherwise():
    box = torch.tensor([[1., -2., 3., 1.5, .3]])
    half, quarter = box.clone(), box[:, [0, 1, 3, 2, 4]].clone()
    half[:, 4] += math.pi
    quarter[:, 4] += math.pi / 2
    found = []
    for one in (box, half, quarter):
        points = [box_key_points(one), torch.zeros(0, 9, 2)]
        pair = [
            sample_bev(make(4), points, EXTENT)
            for make in (student_map, teacher_map)
        ]
        found.append([key_point_distance(*pair), relation_distance(*pair)])
    for other in found[1:]:
        assert torch.tensor(found[0]).allclose(torch.tensor(other), atol=1e-5)


def test_relations():
    feat_s, feat_t = torch.randn(2, 4, 9, 6).mul(9).unbind(0)
    loss = relation_distance(feat_s, feat_t)
    relations = key_point_relations(feat_s)
    assert relations.allclose(relations.transpose(1, 2), atol=1e-6)
    assert relations.abs().max() <= 1 + 1e-5
    assert relations.diagonal(
        dim1=1, dim2=2).allclose(
            torch.ones(4, 9), atol=1e-3)
    turn = torch.linalg.qr(torch.randn(6, 6))[0]
    for other in ((3 * feat_s, .5 * feat_t), (feat_s @ turn, feat_t)):
        assert relation_distance(*other).item() == pytest.approx(
            loss.item(), rel=1e-3)
    assert relation_distance(feat_s, torch.randn(4, 9, 3)) > 0
    # Zeros have the cosine 0 with all, and a gradient.
    feat_s = feat_s.clone()
    feat_s[0, 3] = 0
    feat_s.requires_grad_()
    assert (key_point_relations(feat_s)[0, 3] == 0).all()
    relation_distance(feat_s, feat_t).backward()
    assert feat_s.grad.isfinite().all()
    zeros = torch.zeros(4, 9, 6, requires_grad=True)
    relation_distance(zeros, feat_t).backward()
    assert zeros.grad.isfinite().all()


def test_no_boxes():
    feat = student_map(4).requires_grad_()
    none = [torch.zeros(0, 5)] * 2
    points = [box_key_points(box) for box in none]
    read = sample_bev(feat, points, EXTENT)
    assert read.shape == (0, 9, 4)
    empty = box_gaussian_mask(none, (20, 20), EXTENT)
    assert (empty == 0).all()
    total = key_point_distance(read, read) + relation_distance(
        read, read) + masked_distance(feat, teacher_map(4), empty)
    total.backward()
    assert total == 0 and (feat.grad == 0).all()
    # One sample without any counts for nothing.
    some = [box_key_points(BOXES[0]), points[0]]
    assert sample_bev(feat, some, EXTENT).shape == (2, 9, 4)


def test_boxes_outside():
    outside = torch.tensor([[20., 0., 4., 2., .5]])
    points = [box_key_points(outside), box_key_points(BOXES[1])]
    pair = [
        sample_bev(make(4), points, EXTENT)
        for make in (student_map, teacher_map)
    ]
    assert (pair[0][0] == 0).all()
    assert key_point_relations(pair[0])[0].abs().max() == 0
    # It counts as one of two boxes.
    alone = key_point_distance(pair[0][1:], pair[1][1:])
    assert key_point_distance(*pair).item() == pytest.approx(
        alone.item() / 2, rel=1e-3)
    # Left out where the ranges differ.
    valid = points_in_range(torch.cat(points), EXTENT)
    assert not valid[0].any() and valid[1].any() and not valid[1].all()
    count = valid.any(1).sum()
    for distance in (key_point_distance, relation_distance):
        masked = distance(*pair, valid=valid, avg_factor=count)
        assert masked > distance(*pair)
        assert distance(*pair, valid=torch.zeros_like(valid)) == 0


def test_mask_at_the_border_and_on_overlap():
    box = torch.tensor([[-6.4, 0.3, 6., 6., .7]])  # its middle is outside
    found = box_gaussian_mask([box], (20, 20), EXTENT)[0]
    assert 0 < found.max() < 1 and found[10, 0] == found.max()
    twice = box_gaussian_mask([BOXES[0].repeat(2, 1)], (20, 20), EXTENT)
    assert twice[0].equal(mask()[0])
    turned = BOXES[0].clone()
    turned[:, 4] += 1
    assert box_gaussian_mask([turned], (20, 20), EXTENT)[0].equal(mask()[0])
    far = box_gaussian_mask([box + torch.tensor([50., 0, 0, 0, 0])], (20, 20),
                            EXTENT)
    assert (far == 0).all()
    wide = box_gaussian_mask(BOXES, (20, 20), EXTENT, min_radius=1)
    assert (wide >= mask()).all() and wide.sum() > mask().sum()


def test_radius_is_that_of_mmdet3d():
    from mmdet3d.models.utils import gaussian_radius as theirs
    size = torch.rand(30, 2) * 20 + .5
    ours = gaussian_radius(*size.unbind(1))
    for one, found in zip(size, ours):
        assert found.item() == pytest.approx(
            float(theirs(one, min_overlap=.7)), rel=1e-4)
    # Pedestrian, car, truck and bus on cells of 0.6 m.
    size = torch.tensor([[.7, .7], [4.6, 1.9], [10, 2.5], [12, 3.]]) / .6
    assert gaussian_radius(*size.unbind(1)).int().tolist() == [0, 1, 1, 2]


def test_batch_twice():
    student, teacher = samples(4)
    for distance in (key_point_distance, relation_distance):
        once = distance(student, teacher)
        twice = distance(student.repeat(2, 1, 1), teacher.repeat(2, 1, 1))
        assert once.item() == pytest.approx(twice.item(), rel=1e-4)


def test_gradients():
    points = [box_key_points(box).double() for box in BOXES]
    generator = torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    feat, target = rand(2, 3, 20, 20).requires_grad_(), rand(3, 9, 3)

    def both(value):
        read = sample_bev(value, points, EXTENT)
        return key_point_distance(read, target) + relation_distance(
            read, target) + masked_distance(value[:, 0], value[:, 0] * 0,
                                            mask())

    both(feat).backward()
    step = 1e-6 * rand(2, 3, 20, 20).sign()
    change = both(feat.detach() + step) - both(feat.detach() - step)
    assert change.item() / 2 == pytest.approx(
        (feat.grad * step).sum().item(), rel=1e-5)
