"""ND on tiny networks, for the tests: KD++ and ReviewKD++."""
from typing import Dict

from mmkd.testing.batches import detection_batch
from mmkd.testing.examples import MethodExample, example
from mmkd.testing.networks import two_stage_detector

_ND = 'embeddings differ from the mean of their class'


def _detectors(variant: str, **not_zero: str) -> MethodExample:
    distiller: Dict[str, object] = dict(type='ND', variant=variant)
    return example(
        two_stage_detector(4),
        two_stage_detector(8),
        distiller,
        detection_batch,
        dry_run_size=(64, 64),
        depends_on_batch='boxes are sampled at random, and class means are '
        'those of the batch at first',
        not_zero=dict(nd=_ND, **not_zero))


RECIPE = 'nd/nd_faster-rcnn-r101_faster-rcnn-r50_1x_coco.py'
EXAMPLES = dict(
    nd=lambda: _detectors('kd'),
    nd_review=lambda: _detectors(
        'review', review='the fusion starts with random weights'))
