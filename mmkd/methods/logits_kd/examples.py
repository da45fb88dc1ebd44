"""LogitsKD on tiny networks, for the tests."""
from functools import partial
from typing import Any, Dict

from mmkd.testing.batches import detection_batch
from mmkd.testing.examples import detectors, example, segmentors
from mmkd.testing.lidar import centerpoint, lidar_batch
from mmkd.testing.networks import two_stage_detector

RECIPE = 'logits_kd/logits-kd_pspnet-r101-d8_pspnet-r18-d8_80k_cityscapes.py'
_DIST: Dict[str, Any] = dict(
    depends_on_batch='a class is correlated over all cells of a process, as '
    'published',
    not_zero=dict.fromkeys(
        ('inter', 'intra'), 'a small number keeps the divisor above 0, so '
        'that the correlation of equal numbers is just below 1'))
_POSITIVES: Dict[str, Any] = dict(
    depends_on_batch='the sum is divided by the positives of the batch, at '
    'least one')
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
        zero_without_objects=('target', 'non_target')),
    logits_kd_aux_head=lambda: segmentors(
        dict(
            type='LogitsKD',
            divergence='binary_norm',
            aux_head=True,
            teacher_share=0.5),
        not_zero=dict(loss='the second classifier starts with random weights')
    ),
    logits_kd_positives=lambda: detectors(
        dict(type='LogitsKD', place='dense_logits', divergence='dkd'),
        zero_without_objects=('target', 'non_target'),
        **_POSITIVES),
    logits_kd_boxes=lambda: example(
        two_stage_detector(4),
        two_stage_detector(8),
        dict(type='LogitsKD', place='roi_logits', divergence='dkd'),
        detection_batch,
        dry_run_size=(64, 64),
        depends_on_batch='boxes are sampled at random'),
    logits_kd_class_maps=lambda: example(
        centerpoint(4),
        centerpoint(8),
        dict(type='LogitsKD', place='class_maps'),
        partial(lidar_batch, channels=5, box_size=9),
        zero_without_objects=('loss', ),
        **_POSITIVES))
