"""SparseKD on tiny networks, for the tests: on both kinds of heads."""
from functools import partial
from typing import Callable

from mmkd.testing.examples import MethodExample, example
from mmkd.testing.lidar import centerpoint, lidar_batch, pointpillars


def _detectors(make: Callable[..., dict], channels: int, box_size: int,
               label_score: float) -> MethodExample:
    return example(
        make(4),
        make(8),
        dict(type='SparseKD', label_score=label_score, labels='add'),
        partial(lidar_batch, channels=channels, box_size=box_size),
        depends_on_batch='its means are over the objects of a process',
        not_zero=dict(label="it is the head's own loss"),
        zero_without_objects=('cls', 'reg'))


RECIPE = ('sparsekd/sparsekd_centerpoint-pillar02'
          '_centerpoint-pillar02-s_20e_nuscenes.py')
# An untrained centre head finds boxes of low scores.
EXAMPLES = dict(
    sparsekd=lambda: _detectors(centerpoint, 5, 9, .1),
    sparsekd_anchors=lambda: _detectors(pointpillars, 4, 7, .6))
