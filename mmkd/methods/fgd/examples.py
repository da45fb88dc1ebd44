"""FGD on tiny networks, for the tests."""
from mmkd.testing.examples import detectors

RECIPE = 'fgd/fgd_retinanet-r101_retinanet-r50_2x_coco.py'
EXAMPLES = dict(
    fgd=lambda: detectors(dict(type='FGD'), zero_without_objects=('fg', )))
