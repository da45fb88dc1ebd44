"""CrossKD on tiny networks, for the tests."""
from typing import Any

from mmkd.testing.examples import MethodExample, detectors

RECIPE = 'crosskd/crosskd_gfl-r101_gfl-r50_1x_coco.py'


def _example(kind: str, **kwargs: Any) -> MethodExample:
    return detectors(
        dict(type='CrossKD', student_convs=1),
        channels=8,
        kind=kind,
        depends_on_batch='its statistics are over the samples of a process, '
        'as published',
        **kwargs)


_NEAR = 'the transfer of statistics adds 1e-6 to the deviation'
EXAMPLES = dict(
    crosskd=lambda: _example('retinanet', not_zero=dict(cls=_NEAR, box=_NEAR)),
    crosskd_gfl=lambda: _example('gfl', not_zero=dict(cls=_NEAR, box=_NEAR)))
