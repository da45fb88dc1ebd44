"""BPKD on tiny networks, for the tests."""
from mmkd.testing.examples import segmentors

EXAMPLES = dict(bpkd=lambda: segmentors(
    dict(type='BPKD'), zero_without_objects=('loss_edge', 'loss_body')))
