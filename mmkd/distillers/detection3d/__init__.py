"""Methods for detection in point clouds."""
from mmkd.distillers.detection3d.monotakd import MonoTAKD, MonoTAKDAssistant
from mmkd.distillers.detection3d.point_distiller import PointDistiller
from mmkd.distillers.detection3d.unidistill import UniDistill
from mmkd.distillers.detection3d.xray import XRay

__all__ = [
    'MonoTAKD', 'MonoTAKDAssistant', 'PointDistiller', 'UniDistill', 'XRay'
]
