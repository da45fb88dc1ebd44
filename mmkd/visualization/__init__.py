"""Pictures of what a run gives."""
from mmkd.visualization.segmentation import (draw_comparison, draw_curves,
                                             predict)

__all__ = ['draw_comparison', 'draw_curves', 'predict']
