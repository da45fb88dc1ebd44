"""LogitsKD on tiny networks, for the tests."""
from mmkd.testing.examples import segmentors

EXAMPLES = dict(logits_kd=lambda: segmentors(dict(type='LogitsKD')))
