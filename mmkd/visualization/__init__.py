"""Figures of distillers, predictions and data."""
from mmkd.visualization.distillation import History, draw_history, draw_visuals
from mmkd.visualization.observation import (Gallery, Observation, Observer,
                                            frozen_copy)
from mmkd.visualization.painters import Boxes, Scene, paint
from mmkd.visualization.sheet import Panel, Sheet

__all__ = [
    'Boxes', 'Gallery', 'History', 'Observation', 'Observer', 'Panel', 'Scene',
    'Sheet', 'draw_history', 'draw_visuals', 'frozen_copy', 'paint'
]
