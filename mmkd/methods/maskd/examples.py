"""MasKD on tiny networks, for the tests."""
from functools import partial

from mmkd.testing.batches import detection_batch
from mmkd.testing.examples import MethodExample, detectors, example, segmentors
from mmkd.testing.networks import two_stage_detector

RECIPE = 'maskd/maskd_retinanet-r101_retinanet-r50_2x_coco.py'
_ALIGNED = 'a 1x1 convolution follows the student, also for equal channels'
_CFG = dict(type='MasKD', masks='random')


def _two_stage() -> MethodExample:
    size = (64, 128)
    return example(
        two_stage_detector(4),
        two_stage_detector(8),
        dict(_CFG),
        partial(detection_batch, size=size),
        dry_run_size=size,
        depends_on_batch='boxes are sampled at random',
        not_zero=dict(feat=_ALIGNED))


EXAMPLES = dict(
    maskd=lambda: detectors(
        dict(_CFG, warmup=0), not_zero=dict(feat=_ALIGNED)),
    maskd_segmentation=lambda: segmentors(dict(_CFG)),
    maskd_two_stage=_two_stage)
