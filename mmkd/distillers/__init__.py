"""Distillation methods; adding one touches this list only."""
from mmkd.distillers.base import Distiller, Instances, StepBatch
from mmkd.distillers.detection import FGD
from mmkd.distillers.detection3d import (MonoTAKD, MonoTAKDAssistant,
                                         PointDistiller, UniDistill, XRay)
from mmkd.distillers.generic import ACAM, CWD, MGD, LogitsKD
from mmkd.distillers.schedule import Progress, WeightSchedule
from mmkd.distillers.segmentation import BPKD, TransKD
from mmkd.distillers.visuals import Heatmap, Points, Visual

__all__ = [
    'ACAM', 'BPKD', 'CWD', 'Distiller', 'FGD', 'Heatmap', 'Instances',
    'LogitsKD', 'MGD', 'MonoTAKD', 'MonoTAKDAssistant', 'PointDistiller',
    'Points', 'Progress', 'StepBatch', 'TransKD', 'UniDistill', 'Visual',
    'WeightSchedule', 'XRay'
]
