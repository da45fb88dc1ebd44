"""PointDistiller on tiny networks, for the tests."""
from mmkd.testing.examples import example
from mmkd.testing.lidar import lidar_batch, pointpillars

RECIPE = ('pointdistiller/'
          'pointdistiller_pointpillars_pointpillars-4x_160e_kitti.py')
EXAMPLES = dict(pointdistiller=lambda: example(
    pointpillars(4),
    pointpillars(8),
    dict(type='PointDistiller', num_centres=40, num_neighbours=6),
    lidar_batch,
    depends_on_batch='its centres are the most important ones of a whole '
    'batch',
    not_zero=dict(loss='each side has a layer of its own')))
