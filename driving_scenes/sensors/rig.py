"""The sensor rigs of nuScenes' and KITTI's cars."""
from dataclasses import dataclass
from typing import Dict

import numpy as np

from .camera import PinholeCamera
from .lidar import SpinningLidar

#: Channel -> position in the ego frame (metres), yaw to the left and field
#: of view (degrees), as in nuScenes: adjacent cameras overlap.
NUSCENES_CAMERAS = {
    'CAM_FRONT': ((1.70, .016, 1.51), 0., 70.),
    'CAM_FRONT_RIGHT': ((1.55, -.49, 1.50), -55., 70.),
    'CAM_FRONT_LEFT': ((1.52, .49, 1.51), 55., 70.),
    'CAM_BACK': ((.03, .003, 1.58), 180., 110.),
    'CAM_BACK_LEFT': ((1.04, .48, 1.59), 108., 70.),
    'CAM_BACK_RIGHT': ((1.01, -.48, 1.56), -110., 70.),
}


@dataclass(frozen=True)
class Rig:
    """Sensors of a car by channel.

    Args:
        cameras (dict[str, PinholeCamera]): In the order they are written.
        lidar (SpinningLidar): The LiDAR on the roof.
        lidar_channel (str): Its name.
    """
    cameras: Dict[str, PinholeCamera]
    lidar: SpinningLidar
    lidar_channel: str


def nuscenes_rig(height: int, width: int, azimuth_steps: int) -> Rig:
    """Six cameras around the car and 32 beams, as in nuScenes.

    The original cameras have 900 x 1600 pixels; the horizontal field of view
    does not depend on the size.

    Args:
        height (int): Rows of a picture.
        width (int): Columns.
        azimuth_steps (int): Measurements of each beam in a rotation; about
            1084 in the original.
    """
    cameras = {
        channel: PinholeCamera(height, width, fov, position, np.radians(yaw),
                               0.)
        for channel, (position, yaw, fov) in NUSCENES_CAMERAS.items()
    }
    return Rig(cameras, SpinningLidar.hdl32(azimuth_steps), 'LIDAR_TOP')


def kitti_rig(height: int, width: int, azimuth_steps: int) -> Rig:
    """A front camera, 81 degrees wide, and 64 beams, as in KITTI.

    The original images have 375 x 1242 pixels.

    Args:
        height (int): Rows of a picture.
        width (int): Columns.
        azimuth_steps (int): Measurements of each beam in a rotation; about
            2083 in the original.
    """
    camera = PinholeCamera(height, width, 81.4, (1.03, 0., 1.65), 0., 0.)
    return Rig({'image_2': camera}, SpinningLidar.hdl64(azimuth_steps),
               'velodyne')
