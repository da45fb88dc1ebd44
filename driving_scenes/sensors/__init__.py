"""Sensors that look at the world by casting rays into its geometry."""
from .camera import PinholeCamera, Renderer
from .lidar import SpinningLidar, Sweep
from .rig import Rig, kitti_rig, nuscenes_rig

__all__ = [
    'PinholeCamera', 'Renderer', 'Rig', 'SpinningLidar', 'Sweep', 'kitti_rig',
    'nuscenes_rig'
]
