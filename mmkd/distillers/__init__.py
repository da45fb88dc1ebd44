"""Distillation methods; adding one touches this list only."""
from mmkd.distillers.base import Distiller, StepBatch
from mmkd.distillers.generic import CWD, LogitsKD
from mmkd.distillers.schedule import Progress, WeightSchedule
from mmkd.distillers.segmentation import BPKD

__all__ = [
    'BPKD', 'CWD', 'Distiller', 'LogitsKD', 'Progress', 'StepBatch',
    'WeightSchedule'
]
