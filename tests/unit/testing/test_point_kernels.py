"""Stand-ins against loops; sparse convolutions: test_example_frames.py."""
import torch

from mmkd.testing.point_kernels import KERNELS


def test_farthest_points():
    points = torch.tensor([[[0., 0, 0], [1, 0, 0], [5, 0, 0], [2, 0, 0]]])
    idx = torch.zeros(1, 3, dtype=torch.int)
    KERNELS['furthest_point_sampling_forward'](points, None, idx, 1, 4, 3)
    assert idx.tolist() == [[0, 2, 3]]
    by_distance = torch.cdist(points, points).square()
    KERNELS['furthest_point_sampling_with_dist_forward'](by_distance, None,
                                                         idx, 1, 4, 3)
    assert idx.tolist() == [[0, 2, 3]]


def test_balls():
    points = torch.tensor([[[0., 0, 0], [.1, 0, 0], [9, 0, 0]]])
    centres = torch.tensor([[[0., 0, 0], [9, 0, 0], [50, 0, 0]]])
    idx = torch.zeros(1, 3, 4, dtype=torch.int)
    KERNELS['ball_query_forward'](centres, points, idx, 0., 1., 4)
    assert idx.tolist() == [[[0, 1, 0, 0], [2] * 4, [0] * 4]]


def test_groups_and_their_gradient():
    features = torch.rand(2, 3, 5)
    idx = torch.randint(5, (2, 4, 6))
    out = torch.zeros(2, 3, 4, 6)
    KERNELS['group_points_forward'](features, idx, out)
    for b, m, k in ((0, 1, 2), (1, 3, 5)):
        assert out[b, :, m, k].equal(features[b, :, idx[b, m, k]])
    gradient = torch.zeros_like(features)
    KERNELS['group_points_backward'](torch.ones_like(out), idx, gradient)
    counts = torch.stack([row.flatten().bincount(minlength=5) for row in idx])
    assert gradient.equal(counts[:, None].expand_as(gradient).float())


def test_voxels_of_points():
    coors = torch.tensor([[0, 1, 1], [0, 0, 2], [0, 1, 1], [-1, -1, -1]])
    features = torch.tensor([[1.], [2.], [3.], [9.]])
    scatter = KERNELS['dynamic_point_to_voxel_forward']
    for reduce, wanted in (('mean', [2, 2]), ('max', [2, 3]), ('sum', [2, 4])):
        found, voxels, mapping, counts = scatter(features, coors, reduce)
        assert found.flatten().tolist() == wanted
    assert voxels.tolist() == [[0, 0, 2], [0, 1, 1]]
    assert mapping.tolist() == [1, 0, 1, -1] and counts.tolist() == [1, 2]


def test_points_in_boxes():
    boxes = torch.tensor([[[0., 0, 0, 4, 2, 1, torch.pi / 2]]])
    points = torch.tensor([[[0., 1.5, .5], [1.5, 0, .5], [0, 0, -.5]]])
    out = torch.zeros(1, 3, 1, dtype=torch.int)
    KERNELS['points_in_boxes_all_forward'](boxes, points, out)
    assert out.flatten().tolist() == [1, 0, 0]
    part = torch.zeros(1, 3, dtype=torch.int)
    KERNELS['points_in_boxes_part_forward'](boxes, points, part)
    assert part.tolist() == [[0, -1, -1]]
