"""CrossKD on tiny networks, for the tests."""
from mmkd.testing.examples import detectors

RECIPE = 'crosskd/crosskd_gfl-r101_gfl-r50_1x_coco.py'
EXAMPLES = dict(crosskd=lambda: detectors(
    dict(type='CrossKD', student_convs=1),
    channels=8,
    kind='atss',
    depends_on_batch='its statistics are over the samples of a process, '
    'as published',
    not_zero=dict(
        cls='the transfer of statistics adds 1e-6 to the deviation',
        box='the transfer of statistics adds 1e-6 to the deviation',
        centerness='cross entropies are not 0 for equal probabilities'),
    zero_without_objects=('centerness', )))
