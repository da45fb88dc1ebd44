"""Pictures of the graphs."""
import pytest
import torch

from mmkd.core.model import DistillationModel
from mmkd.testing.lidar import lidar_batch, pointpillars, second
from mmkd.visualization import Scene, draw_visuals, frozen_copy
from tests.fixtures.voxels import make, step, voxels


@pytest.mark.parametrize('cfg, data', [
    (pointpillars, dict()),
    (second, dict()),
])
def test_pictures(cfg, data):
    model = DistillationModel(
        cfg(2), dict(teacher=dict(cfg=cfg(4), ckpt='random')),
        dict(
            pd=dict(
                type='PointDistiller',
                num_centres=20,
                num_neighbours=4,
                scope='batch')))
    model = frozen_copy(model)
    batch = model.prepare_batch(lidar_batch(**data), ['teacher'])
    tensors, state = model.observe(batch)
    with torch.no_grad():
        visuals = model.distillers['pd'].visuals(*tensors['pd'], state)
    levels = 1 if cfg is pointpillars else 2
    assert len(visuals) == 4 * levels
    for every, heavy, far, joined in zip(*[iter(visuals)] * 4):
        assert every.name == 'importance' and far.changes
        for visual in (every, heavy, far, joined):
            assert len(visual.values) == len(visual.positions) == 2
            for values, places in zip(visual.values, visual.positions):
                assert len(values) == len(places) and places.size(1) == 2
                low, high = torch.tensor(visual.extent).view(2, 2)
                assert ((places >= low) & (places <= high)).all()
        assert sum(map(len, heavy.values)) == 20
        # The heaviest centres, with three others each in the batch.
        assert 6 <= sum(map(len, joined.values)) <= 24
        for places, edges in zip(joined.positions, joined.edges):
            assert edges.shape[1] == 2 and (edges < len(places)).all()
    if cfg is pointpillars:
        # In metres, with the points of each pillar.
        voxels = state.inputs['voxels']
        first = voxels['coors'][:, 0] == 0
        assert torch.equal(visuals[0].values[0],
                           voxels['num_points'][first].float())
        assert torch.equal(visuals[0].positions[0],
                           voxels['voxel_centers'][first, :2])
    sheet = draw_visuals(visuals, Scene('scan'), 'graphs')
    assert sheet.render().startswith(b'\x89PNG')


def test_lines_lead_to_the_neighbours():
    feat_s, feat_t, counts, coors = voxels(12, scans=1)
    distiller = make([feat_s], [feat_t], num_centres=2, num_neighbours=3)
    batch = step(counts, coors)
    joined = distiller.eval().visuals(
        dict(nodes=[feat_s]), dict(nodes=[feat_t]), batch)[-1]
    graph, = distiller.graphs(
        dict(nodes=[feat_s]), dict(nodes=[feat_t]), batch)[0]
    places, = joined.positions
    lines = {
        tuple(map(tuple, places[edge].tolist()))
        for edge in joined.edges[0]
    }
    cells = coors[:, [3, 2]].float()
    assert lines == {(tuple(cells[a].tolist()), tuple(cells[b].tolist()))
                     for a, near in zip(graph.centres, graph.neighbours)
                     for b in near if a != b}
