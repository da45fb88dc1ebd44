"""Camera to bird's-eye view: geometry, lifts, and detectors on the map.

:class:`BEVDetector` needs mmdet3d and is imported on first access.
"""
from typing import Any

from mmkd.bev.depth import (DepthBins, complete_depth, depth_cross_entropy,
                            pool_depth, render_depth)
from mmkd.bev.fuser import ConvFuser
from mmkd.bev.geometry import CameraGeometry
from mmkd.bev.grid import BEVGrid
from mmkd.bev.pooling import LiftIndex, lift_pool
from mmkd.bev.view_transform import (LSSViewTransform, SamplingViewTransform,
                                     ViewTransform)

__all__ = [
    'BEVDetector', 'BEVGrid', 'CameraGeometry', 'ConvFuser', 'DepthBins',
    'LSSViewTransform', 'LiftIndex', 'SamplingViewTransform', 'ViewTransform',
    'complete_depth', 'depth_cross_entropy', 'lift_pool', 'pool_depth',
    'render_depth'
]


def __getattr__(name: str) -> Any:
    if name == 'BEVDetector':
        from mmkd.bev.detector import BEVDetector
        return BEVDetector
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
