"""Tiny networks, batches, data and runs for tests."""
from mmkd.testing.batches import detection_batch, segmentation_batch
from mmkd.testing.bev import BEV_RANGE, BEV_TASKS, bev_batch, bev_detector
from mmkd.testing.checkpoints import differences
from mmkd.testing.cityscapes import write_cityscapes
from mmkd.testing.networks import detector, segmentor, transformer_segmentor
from mmkd.testing.runs import distillation_config, segmentation_config

__all__ = [
    'BEV_RANGE', 'BEV_TASKS', 'bev_batch', 'bev_detector', 'detection_batch',
    'detector', 'differences', 'distillation_config', 'segmentation_batch',
    'segmentation_config', 'segmentor', 'transformer_segmentor',
    'write_cityscapes'
]
