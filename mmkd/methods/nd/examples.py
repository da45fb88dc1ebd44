"""ND on tiny networks, for the tests: KD++ and ReviewKD++."""
from functools import partial

from mmkd.testing.batches import detection_batch
from mmkd.testing.examples import MethodExample, example
from mmkd.testing.networks import two_stage_detector

# Large enough to normalise the coarsest level of one image.
_SIZE = (64, 128)


def _detectors(variant: str, **not_zero: str) -> MethodExample:
    """In eval mode, in which equal networks are compared, there are no class
    means, so that ``nd`` is 0."""
    return example(
        two_stage_detector(4),
        two_stage_detector(8),
        dict(type='ND', variant=variant),
        partial(detection_batch, size=_SIZE),
        dry_run_size=_SIZE,
        depends_on_batch='boxes are sampled at random, and class means are '
        'those of the batch at first',
        not_zero=not_zero)


RECIPE = 'nd/nd_faster-rcnn-r101_faster-rcnn-r50_1x_coco.py'
EXAMPLES = dict(
    nd=lambda: _detectors('kd'),
    nd_review=lambda: _detectors(
        'review', review='the fusion starts with random weights'))
