"""TransKD on tiny networks, for the tests."""
from mmkd.testing.batches import segmentation_batch
from mmkd.testing.examples import MethodExample, example
from mmkd.testing.networks import transformer_segmentor

_NOT_ZERO = dict(
    feature='the fusion maps the features of the student alone',
    embedding='the assistant maps the embeddings of the student alone')


def _example(variant: str) -> MethodExample:
    return example(
        transformer_segmentor(4),
        transformer_segmentor(8),
        dict(type='TransKD', variant=variant),
        segmentation_batch,
        not_zero=_NOT_ZERO)


RECIPE = ('transkd/'
          'transkd-gl_segformer-mit-b2_segformer-mit-b0_160k_cityscapes.py')
EXAMPLES = dict(
    transkd=lambda: _example('base'),
    transkd_gl=lambda: _example('gl'),
    transkd_ea=lambda: _example('ea'))
