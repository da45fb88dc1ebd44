"""FGD on tiny networks, for the tests."""
from mmkd.testing.examples import detectors

EXAMPLES = dict(fgd=lambda: detectors(
    dict(type='FGD'), zero_without_objects=('loss_fg', )))
