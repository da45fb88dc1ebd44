"""PKD on tiny networks, for the tests."""
from mmkd.testing.examples import detectors

RECIPE = 'pkd/pkd_faster-rcnn-r101_faster-rcnn-r50_2x_coco.py'
EXAMPLES = dict(pkd=lambda: detectors(
    dict(type='PKD'),
    channels=8,
    depends_on_batch='its statistics are over the samples of a process, '
    'as published'))
