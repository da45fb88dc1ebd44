"""LAD on tiny networks, for the tests."""
from mmkd.testing.batches import segmentation_batch
from mmkd.testing.examples import MethodExample, example
from mmkd.testing.networks import segmentor

RECIPE = 'lad/lad_pspnet-r18-d8-label_pspnet-r18-d8_80k_cityscapes.py'


def _example() -> MethodExample:
    teacher = segmentor(4)
    teacher['model']['type'] = 'mmkd.LabelAssistedSegmentor'
    return example(
        segmentor(4),
        teacher,
        dict(type='CWD'),
        segmentation_batch,
        depends_on_batch='the noise of the labels is drawn anew for each '
        'batch')


EXAMPLES = dict(lad=_example)
