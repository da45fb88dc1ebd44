"""Metrics that the libraries lack.

``KittiMetric`` needs mmdet3d and is imported on first access.
"""
from typing import Any

from mmkd.evaluation.boundary_iou import BoundaryIoUMetric
from mmkd.evaluation.held_out import HeldOutMetric
from mmkd.evaluation.kitti import kitti_eval

__all__ = ['BoundaryIoUMetric', 'HeldOutMetric', 'KittiMetric', 'kitti_eval']


def __getattr__(name: str) -> Any:
    if name == 'KittiMetric':
        from mmkd.evaluation.kitti_metric import KittiMetric
        return KittiMetric
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
