"""ACAM-KD on tiny networks, for the tests."""
from mmkd.testing.examples import detectors, segmentors

_NOT_ZERO = dict(div='it keeps the masks apart, whatever they compare')

RECIPE = 'acam/acam_retinanet-r101_retinanet-r50_2x_coco.py'
EXAMPLES = dict(
    acam=lambda: detectors(dict(type='ACAM'), not_zero=_NOT_ZERO),
    acam_segmentation=lambda: segmentors(
        dict(type='ACAM'), not_zero=_NOT_ZERO))
