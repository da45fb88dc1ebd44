"""Af-DCD on tiny networks, for the tests."""
from mmkd.testing.examples import segmentors

_RANDOM = 'the generating block starts with random weights'

RECIPE = 'af_dcd/af-dcd_deeplabv3-r101-d8_deeplabv3-r18-d8_40k_cityscapes.py'
EXAMPLES = dict(af_dcd=lambda: segmentors(
    # Two cells at stride 32, whose mask is to be the same in any batch.
    dict(type='AfDCD', num_groups=4, pool=1, mask='hole'),
    not_zero=dict(feature=_RANDOM, contrast=_RANDOM)))
