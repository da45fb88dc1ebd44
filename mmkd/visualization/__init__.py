"""Pictures of what a run gives."""
from mmkd.visualization.distillation import (Boxes, History, Panel, Scene,
                                             Sheet, draw_history, draw_visuals,
                                             paint)
from mmkd.visualization.observation import (Gallery, Observation, Observer,
                                            frozen_copy)
from mmkd.visualization.segmentation import (draw_comparison, draw_curves,
                                             predict)

__all__ = [
    'Boxes', 'Gallery', 'History', 'Observation', 'Observer', 'Panel', 'Scene',
    'Sheet', 'draw_comparison', 'draw_curves', 'draw_history', 'draw_visuals',
    'frozen_copy', 'paint', 'predict'
]
