"""Sensors that cast rays into the geometry of the world."""
from .camera import PinholeCamera, Renderer
from .lidar import SpinningLidar, Sweep
from .rig import Rig, kitti_rig, nuscenes_rig

__all__ = [
    'PinholeCamera', 'Renderer', 'Rig', 'SpinningLidar', 'Sweep', 'kitti_rig',
    'nuscenes_rig'
]
