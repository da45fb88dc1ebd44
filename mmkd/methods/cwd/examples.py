"""CWD on tiny networks, for the tests."""
from mmkd.testing.examples import segmentors

EXAMPLES = dict(
    cwd=lambda: segmentors(dict(type='CWD')),
    cwd_features=lambda: segmentors(
        dict(
            type='CWD',
            place='stages',
            student='backbone[2:4]',
            teacher='backbone[2:4]')))
