"""Writers of the public formats; they know frames, not the world."""
from .cityscapes import CityscapesWriter
from .coco import CocoWriter

WRITERS = dict(cityscapes=CityscapesWriter, coco=CocoWriter)

__all__ = ['WRITERS', 'CityscapesWriter', 'CocoWriter']
