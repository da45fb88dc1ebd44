"""MGD on tiny networks, for the tests."""
from mmkd.testing.examples import detectors, segmentors

_MASKS = 'its masks are random, and drawn by each process'

_NOT_ZERO = dict(loss='the generator has to restore what is masked')

RECIPE = 'mgd/mgd_retinanet-r101_retinanet-r50_2x_coco.py'
EXAMPLES = dict(
    mgd=lambda: detectors(
        dict(type='MGD'), depends_on_batch=_MASKS, not_zero=_NOT_ZERO),
    mgd_segmentation=lambda: segmentors(
        # Of the few cells of so small an image, some are left.
        dict(type='MGD', mask_ratio=0.5),
        depends_on_batch=_MASKS,
        not_zero=_NOT_ZERO))
