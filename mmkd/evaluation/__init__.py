"""Metrics that the libraries lack."""
from mmkd.evaluation.boundary_iou import BoundaryIoUMetric

__all__ = ['BoundaryIoUMetric']
