"""BPKD on tiny networks, for the tests."""
from mmkd.testing.examples import segmentors

RECIPE = 'bpkd/bpkd_pspnet-r101-d8_pspnet-r18-d8_80k_cityscapes.py'
EXAMPLES = dict(bpkd=lambda: segmentors(
    dict(type='BPKD'), zero_without_objects=('edge', 'body')))
