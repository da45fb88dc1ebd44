"""LD on tiny networks, for the tests."""
from mmkd.testing.examples import detectors

RECIPE = 'ld/ld_gfl-r101_gfl-r50_1x_coco.py'
EXAMPLES = dict(ld=lambda: detectors(
    dict(type='LD'),
    kind='gfl',
    depends_on_batch='two terms are sums over the samples of a process, and '
    'the third divides by the positives of a level, as published',
    zero_without_objects=('main', 'region', 'classes')))
