"""CWD on tiny networks, for the tests."""
from mmkd.testing.examples import segmentors

RECIPE = 'cwd/cwd-logits_pspnet-r101-d8_pspnet-r18-d8_80k_cityscapes.py'
EXAMPLES = dict(
    cwd=lambda: segmentors(dict(type='CWD')),
    cwd_features=lambda: segmentors(
        dict(
            type='CWD',
            place='stages',
            student='backbone[2:4]',
            teacher='backbone[2:4]')))
