"""CIRKD on tiny networks, for the tests."""
from functools import partial

from mmkd.testing.batches import segmentation_batch
from mmkd.testing.examples import example
from mmkd.testing.networks import segmentor

_RANDOM = 'the head that maps to the teacher starts with random weights'
_SIZE = (64, 96)

RECIPE = 'cirkd/cirkd_deeplabv3-r101-d8_deeplabv3-r18-d8_40k_cityscapes.py'
EXAMPLES = dict(cirkd=lambda: example(
    # Large enough to have labelled cells at stride 32.
    segmentor(4, size=_SIZE),
    segmentor(8, size=_SIZE),
    # The same batch twice leaves queues of one vector as they were.
    dict(type='CIRKD', pixel_queue=1, region_queue=1, pixels_per_class=1),
    partial(segmentation_batch, size=_SIZE),
    dry_run_size=_SIZE,
    depends_on_batch='cells are compared with those of all images of a '
    'process, and with queues that all processes fill',
    not_zero=dict(pixel=_RANDOM, region=_RANDOM),
    zero_without_objects=('pixel', 'region')))
