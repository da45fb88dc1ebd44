"""Centres, neighbours, weights and pairs of voxels."""
import pytest
import torch

from mmkd.methods.pointdistiller.graphs import (centre_weights, choose_centres,
                                                match_voxels, nearest_nodes,
                                                points_per_voxel)


def brute_force(nodes, centres, num):
    """Sorted distances to the nearest nodes, over all pairs in float64."""
    every = torch.cdist(nodes[centres].double(), nodes.double())
    return every.sort(dim=1).values[:, :num]


def distances(nodes, centres, neighbours):
    """Sorted distances to the neighbours that were found."""
    away = nodes[neighbours].double() - nodes[centres].double()[:, None]
    return away.norm(dim=2).sort(dim=1).values


@pytest.mark.parametrize('num_nodes, channels, num_centres, num', [
    (1, 3, 1, 1),
    (50, 1, 7, 50),
    (700, 16, 90, 12),
    (3000, 64, 200, 128),
])
@pytest.mark.parametrize('budget', [64., 0.05, 1e-9])
def test_search_is_exact(num_nodes, channels, num_centres, num, budget):
    generator = torch.Generator().manual_seed(0)
    # Like features behind a ReLU.
    nodes = torch.randn((num_nodes, channels), generator=generator).relu()
    centres = torch.randperm(num_nodes, generator=generator)[:num_centres]
    found = nearest_nodes(nodes, centres, num, budget)
    assert found.shape == (num_centres, num) and not found.is_floating_point()
    assert all(len(row.unique()) == num for row in found)
    torch.testing.assert_close(
        distances(nodes, centres, found),
        brute_force(nodes, centres, num),
        rtol=1e-4,
        atol=2e-3)
    # Whatever the budget, the same neighbours.
    whole = nearest_nodes(nodes, centres, num, 1e6)
    torch.testing.assert_close(
        distances(nodes, centres, found), distances(nodes, centres, whole))


def test_neighbours_by_hand():
    nodes = torch.tensor([[0., 0.], [1., 0.], [3., 0.], [0., 5.]])
    found = nearest_nodes(nodes, torch.tensor([0, 2]), 2)
    assert [set(row) for row in found.tolist()] == [{0, 1}, {2, 1}]


def test_the_block_of_distances_keeps_to_the_budget(monkeypatch):
    nodes, centres = torch.rand(4096, 8), torch.arange(300)
    rows = []
    multiply = torch.addmm

    def watched(*args, out, **kwargs):
        rows.append(out.shape)
        return multiply(*args, out=out, **kwargs)

    monkeypatch.setattr(torch, 'addmm', watched)
    nearest_nodes(nodes, centres, 5, budget_mib=1)
    assert sum(n for n, _ in rows) == 300
    assert all(4 * n * m <= 2**20 for n, m in rows) and len(rows) == 5


def test_fewer_nodes_than_asked_for():
    nodes = torch.rand(3, 2)
    found = nearest_nodes(nodes, torch.tensor([1]), 10)
    assert sorted(found[0].tolist()) == [0, 1, 2]
    assert nearest_nodes(nodes, nodes.new_empty(0).long(), 10).shape == (0, 3)


def test_half_precision_does_not_overflow():
    # 64 channels at 40: the squared norm is 102400, beyond float16.
    nodes = torch.full((30, 64), 40.).half()
    nodes[:10] += torch.arange(10).half()[:, None]
    found = nearest_nodes(nodes, torch.tensor([9]), 2)
    assert set(found[0].tolist()) == {9, 8}


def test_no_gradient_through_the_search():
    nodes = torch.rand(5, 2, requires_grad=True)
    assert not nearest_nodes(nodes, torch.tensor([0]), 2).requires_grad


def test_choosing_centres():
    importance = torch.tensor([3., 9., 1., 7., 5.])
    assert choose_centres(importance, 2).tolist() == [1, 3]
    assert choose_centres(importance, 2, 'bottom').tolist() == [2, 0]
    assert choose_centres(importance, 3, 'mixed').tolist() == [1, 3, 2]
    torch.manual_seed(0)
    draws = {
        tuple(choose_centres(importance, 3, 'random').tolist())
        for _ in range(20)
    }
    assert all(len(set(draw)) == 3 for draw in draws) and len(draws) > 5
    for how in ('top', 'bottom', 'mixed', 'random'):
        every = choose_centres(importance, 9, how)
        assert sorted(every.tolist()) == [0, 1, 2, 3, 4]
        assert choose_centres(importance[:0], 9, how).shape == (0, )


def test_weights_of_centres():
    importance = torch.tensor([32, 31, 32, 5])
    weights = centre_weights(importance, 2.0)
    assert weights.sum() == pytest.approx(4) and (weights > 0).all()
    # Counts differ by 1 at least, so that the fullest voxels share it all.
    for tau in (1e-2, 1e-4):
        assert centre_weights(importance,
                              tau).tolist() == pytest.approx([2, 0, 2, 0])
    torch.testing.assert_close(
        centre_weights(importance, 1e9), torch.ones(4), rtol=0, atol=1e-6)
    assert centre_weights(torch.full((3, ), 7), 1e-4).tolist() == [1, 1, 1]
    assert centre_weights(importance.half(), 1e-4).dtype == torch.float32


def voxels(num, seed):
    """Voxels (b, z, y, x) of 3 samples, none twice, in a random order."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randperm(3 * 2 * 5 * 7, generator=generator)[:num]
    return torch.stack(
        [cells // 70, cells // 35 % 2, cells // 7 % 5, cells % 7], 1).int()


def test_matching_voxels():
    coors_s, coors_t = voxels(90, 0), voxels(120, 1)
    rows_s, rows_t = match_voxels(coors_s, coors_t)
    assert torch.equal(coors_s[rows_s], coors_t[rows_t])
    common = set(map(tuple, coors_s.tolist())) & set(
        map(tuple, coors_t.tolist()))
    assert len(rows_s) == len(common) > 20
    assert (rows_t.diff() > 0).all()  # in the teacher's order
    for one, two in ((coors_s[:0], coors_t), (coors_s, coors_t[:0])):
        assert [len(rows) for rows in match_voxels(one, two)] == [0, 0]
    far = coors_t + coors_t.new_tensor([0, 0, 0, 7])
    assert [len(rows) for rows in match_voxels(coors_s, far)] == [0, 0]


def test_counting_points():
    cells = voxels(6, 0)
    points = torch.cat([
        cells[:1].expand(4, 4), cells[1:2], cells[3:5],
        voxels(9, 5)[-1:] + 9,
        torch.tensor([[0, -1, -1, -1]], dtype=torch.int32)
    ])
    assert points_per_voxel(points, cells).tolist() == [4, 1, 0, 1, 1, 0]
    assert points_per_voxel(points[:0], cells).tolist() == [0] * 6
    assert points_per_voxel(points, cells[:0]).shape == (0, )
