"""MGD on tiny networks, for the tests."""
from mmkd.testing.examples import detectors, segmentors

_MASKS = 'its masks are random, and drawn by each process'

EXAMPLES = dict(
    mgd=lambda: detectors(dict(type='MGD'), depends_on_batch=_MASKS),
    mgd_segmentation=lambda: segmentors(
        dict(type='MGD'), depends_on_batch=_MASKS))
