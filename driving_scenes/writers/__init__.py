"""Writers of the public formats; they depend on frames, not on the world."""
from .cityscapes import CityscapesWriter
from .coco import CocoWriter
from .kitti import KittiWriter
from .nuscenes import NuScenesWriter

__all__ = ['CityscapesWriter', 'CocoWriter', 'KittiWriter', 'NuScenesWriter']
