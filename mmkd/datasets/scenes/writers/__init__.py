"""Writers of the public formats; they know frames, not the world."""
from .cityscapes import CityscapesWriter
from .coco import CocoWriter

__all__ = ['CityscapesWriter', 'CocoWriter']
