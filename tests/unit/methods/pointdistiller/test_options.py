import pytest

from mmkd.errors import ConfigError
from mmkd.methods.pointdistiller.options import PRESETS, PointDistillerOptions


def test_published_values():
    """Section 4 of the method's page."""
    found = {
        name: (v['num_centres'], v['num_neighbours'], v['graph_channels'],
               v['loss_weight'])
        for name, v in PRESETS.items()
    }
    assert found['pointpillars'] == (6000, 128, None, 2)
    assert found['pointpillars_16x'] == (6000, 128, None, 2)
    assert found['second'] == (256, 256, 32, 12)
    assert found['second_16x'] == (256, 128, 32, 12)
    assert found['point_rcnn'] == (6000, 128, None, 2)
    assert found['pointpillars_fpn'] == (256, 128, 64, 2)
    assert found['centerpoint_pillar'] == found['pointpillars']
    assert found['centerpoint_voxel'] == (256, 128, None, 2)


@pytest.mark.parametrize('arguments, message', [
    (dict(preset='pillars'), 'preset is one of voxels'),
    (dict(variant='issue'), 'variant is one of code, paper, local'),
    (dict(variant='local', reweight='softmax'), 'has no weights'),
    (dict(importance='sum'), 'importance is one of count, max, abs_mean'),
    (dict(sample='best'), 'sample is one of top'),
    (dict(align='cell'), 'align is one of row, coors, bev'),
    (dict(pool='sum'), 'pool is one of none'),
    (dict(teacher_layer='eval'), 'teacher_layer is one of train, frozen'),
    (dict(num_centres=0), 'num_centres must be a positive integer'),
    (dict(num_neighbours=2.5), 'num_neighbours must be a positive'),
    (dict(knn_budget_mib=0), 'knn_budget_mib must be positive'),
    (dict(tau=0), 'tau'),
])
def test_refused_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        PointDistillerOptions(**arguments)
