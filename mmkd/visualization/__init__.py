"""Figures of distillers, predictions and data."""
from mmkd.visualization.distillation import History, draw_history, draw_visuals
from mmkd.visualization.observation import (Gallery, Observation, Observer,
                                            frozen_copy)
from mmkd.visualization.painters import Boxes, Scene, paint
from mmkd.visualization.segmentation import (draw_comparison, draw_curves,
                                             predict)
from mmkd.visualization.sheet import Panel, Sheet

__all__ = [
    'Boxes', 'Gallery', 'History', 'Observation', 'Observer', 'Panel', 'Scene',
    'Sheet', 'draw_comparison', 'draw_curves', 'draw_history', 'draw_visuals',
    'frozen_copy', 'paint', 'predict'
]
