"""LogitsKD on tiny networks, for the tests."""
from typing import Any, Dict

from mmkd.testing.examples import detectors, segmentors

RECIPE = 'logits_kd/logits-kd_pspnet-r101-d8_pspnet-r18-d8_80k_cityscapes.py'
_DIST: Dict[str, Any] = dict(
    depends_on_batch='a class is correlated over all cells of a process, as '
    'published',
    not_zero=dict.fromkeys(
        ('inter', 'intra'), 'a small number keeps the divisor above 0, so '
        'that the correlation of equal numbers is just below 1'))
EXAMPLES = dict(
    logits_kd=lambda: segmentors(dict(type='LogitsKD')),
    logits_kd_dist=lambda: segmentors(
        dict(type='LogitsKD', divergence='dist'), **_DIST),
    logits_kd_dense=lambda: detectors(
        dict(type='LogitsKD', place='dense_logits', divergence='dist'), **_DIST
    ),
    logits_kd_nkd=lambda: segmentors(
        dict(type='LogitsKD', divergence='nkd'),
        not_zero=dict.fromkeys(
            ('target', 'non_target'
             ), 'cross entropies are not 0 for equal probabilities'),
        zero_without_objects=('target', 'non_target')))
