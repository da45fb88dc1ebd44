"""PKD on tiny networks, for the tests."""
from mmkd.testing.examples import detectors

EXAMPLES = dict(pkd=lambda: detectors(
    dict(type='PKD'),
    channels=8,
    depends_on_batch='its statistics are over the samples of a process, '
    'as published'))
