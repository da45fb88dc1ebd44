"""FeatureKD on tiny networks, for the tests."""
from mmkd.testing.examples import detectors, segmentors

_NOT_ZERO = dict(loss='the projection starts with random weights')

RECIPE = 'feature_kd/feature-kd_dinov2-s14_retinanet-r50_1x_coco.py'
EXAMPLES = dict(
    feature_kd=lambda: segmentors(dict(type='FeatureKD'), not_zero=_NOT_ZERO),
    feature_kd_detection=lambda: detectors(
        dict(
            type='FeatureKD',
            preset='dsi',
            projector='mlp',
            student='backbone[-1]',
            teacher='backbone[-1]'),
        not_zero=_NOT_ZERO))
