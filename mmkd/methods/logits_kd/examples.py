"""LogitsKD on tiny networks, for the tests."""
from mmkd.testing.examples import segmentors

RECIPE = 'logits_kd/logits-kd_pspnet-r101-d8_pspnet-r18-d8_80k_cityscapes.py'
EXAMPLES = dict(logits_kd=lambda: segmentors(dict(type='LogitsKD')))
