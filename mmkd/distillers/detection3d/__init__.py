"""Methods for detection in point clouds."""
from mmkd.distillers.detection3d.point_distiller import PointDistiller

__all__ = ['PointDistiller']
