"""SimilarityKD on tiny networks, for the tests."""
from mmkd.testing.examples import detectors

_RANDOM = 'the projection starts with random weights'

RECIPE = 'similarity_kd/similarity-kd_dinov2-s14_retinanet-r50_1x_coco.py'
EXAMPLES = dict(similarity_kd=lambda: detectors(
    # As many as images: the same batch twice leaves the queue as it was.
    dict(type='SimilarityKD', queue_size=2),
    not_zero=dict(global_=_RANDOM, local=_RANDOM)))
