"""The parts of a training step: networks, taps, distillers, weights."""
from mmkd.core.batch import Instances, RawBatch, StepBatch
from mmkd.core.distiller import Distiller
from mmkd.core.model import DistillationModel
from mmkd.core.rewriting import Rewriter, RewritingModel
from mmkd.core.schedule import Progress, WeightSchedule
from mmkd.core.taps import Tap, TapCatcher, TapSpec, TapWriter
from mmkd.core.teacher import Teacher
from mmkd.core.visuals import Heatmap, Points, Visual

__all__ = [
    'DistillationModel', 'Distiller', 'Heatmap', 'Instances', 'Points',
    'Progress', 'RawBatch', 'Rewriter', 'RewritingModel', 'StepBatch', 'Tap',
    'TapCatcher', 'TapSpec', 'TapWriter', 'Teacher', 'Visual', 'WeightSchedule'
]
