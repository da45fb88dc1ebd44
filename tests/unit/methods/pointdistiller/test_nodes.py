"""Which rows of both sides are nodes of one graph."""
import pytest
import torch

from mmkd.core.batch import StepBatch
from mmkd.errors import ConfigError
from tests.fixtures.voxels import make, run, step, voxels


def test_alignment_by_coordinates():
    """Other voxels on both sides: only those in common take part."""
    feat_s, feat_t, counts, coors = voxels()
    keep_t = torch.arange(60) % 5 != 0
    order = torch.randperm(50, generator=torch.Generator().manual_seed(2))
    both = order[order % 5 != 0]
    distiller = make([feat_s], [feat_t],
                     num_centres=9,
                     num_neighbours=5,
                     align='coors',
                     scope='sample')
    batch = step(
        counts[order] * 0,
        coors[order],
        teacher=dict(
            voxels=dict(num_points=counts[keep_t], coors=coors[keep_t])))
    loss = run(distiller, [feat_s[order]], [feat_t[keep_t]], batch)
    common = both.sort().values
    expected = run(distiller, [feat_s[common]], [feat_t[common]],
                   step(counts[common], coors[common]))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    # The chosen rows are those of the teacher's own tensor.
    groups, = distiller.graphs(
        dict(nodes=[feat_s[order]]), dict(nodes=[feat_t[keep_t]]), batch)
    for graph in groups:
        assert graph.centres.max() < 48 and graph.neighbours.shape == (9, 5)
        chosen = counts[keep_t][graph.centres]
        assert chosen.min() > 0 and graph.weights.sum() == pytest.approx(9)
        assert set(graph.neighbours.flatten().tolist()) <= {
            i
            for i, c in enumerate(coors[keep_t].tolist())
            if c in coors[common].tolist()
        }


def test_rows_that_do_not_belong_together():
    feat_s, feat_t, counts, coors = voxels()
    distiller = make([feat_s], [feat_t])
    with pytest.raises(
            ValueError, match="the 50 voxels .* and the 60 .*align='coors'"):
        run(distiller, [feat_s[:50]], [feat_t], step(counts, coors))
    # As many rows, of other voxels.
    other = dict(voxels=dict(num_points=counts, coors=coors.flip(0)))
    with pytest.raises(ConfigError, match='not the same ones row by row'):
        run(distiller, [feat_s], [feat_t], step(counts, coors, teacher=other))
    same = dict(voxels=dict(num_points=counts, coors=coors.clone()))
    run(distiller, [feat_s], [feat_t], step(counts, coors, teacher=same))


def test_dynamic_voxels():
    """Coordinates come beside the features; points are counted."""
    feat_s, feat_t, counts, coors = voxels(12)
    counts = torch.tensor([5, 4, 3, 2] + [1] * 8)
    points = coors.repeat_interleave(counts, 0)
    order = torch.randperm(
        len(points), generator=torch.Generator().manual_seed(0))
    both = [feat_s, coors], [feat_t, coors]
    distiller = make(*both, num_centres=4, num_neighbours=3)
    loss = run(distiller, *both, step(coors=points[order]))
    hard = run(
        make([feat_s], [feat_t], num_centres=4, num_neighbours=3), [feat_s],
        [feat_t], step(counts, coors))
    assert loss.item() == pytest.approx(hard.item(), rel=1e-5)
    graph, = distiller.graphs(
        dict(nodes=both[0]), dict(nodes=both[1]), step(coors=points))[0]
    assert graph.centres.tolist() == [0, 1, 2, 3]


def test_missing_voxels():
    feat_s, feat_t, _, _ = voxels()
    distiller = make([feat_s], [feat_t])
    with pytest.raises(ConfigError, match="importance='count' needs the vox"):
        run(distiller, [feat_s], [feat_t], StepBatch())
    distiller = make([feat_s], [feat_t],
                     importance='max',
                     num_centres=4,
                     num_neighbours=3)
    assert run(distiller, [feat_s], [feat_t], StepBatch()) > 0


def test_only_coordinates_beside_features():
    coors = torch.zeros((5, 3), dtype=torch.long)
    with pytest.raises(ConfigError, match='gives integers'):
        make([torch.zeros(5, 4), coors], [torch.zeros(5, 4), coors])
