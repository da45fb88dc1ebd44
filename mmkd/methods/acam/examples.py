"""ACAM-KD on tiny networks, for the tests."""
from mmkd.testing.examples import detectors, segmentors

EXAMPLES = dict(
    acam=lambda: detectors(dict(type='ACAM')),
    acam_segmentation=lambda: segmentors(dict(type='ACAM')))
