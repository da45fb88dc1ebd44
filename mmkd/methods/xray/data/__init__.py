"""Object-complete frames: each object with the points of all frames."""
from mmkd.methods.xray.data.pipelines import with_complete_objects

__all__ = ['with_complete_objects']
