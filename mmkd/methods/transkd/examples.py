"""TransKD on tiny networks, for the tests."""
from mmkd.testing.batches import segmentation_batch
from mmkd.testing.examples import example
from mmkd.testing.networks import transformer_segmentor

EXAMPLES = dict(transkd=lambda: example(
    transformer_segmentor(4), transformer_segmentor(8), dict(type='TransKD'),
    segmentation_batch))
