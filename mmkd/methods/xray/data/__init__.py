"""Object-complete frames: each object as all frames of its scene see it."""
from mmkd.methods.xray.data.pipelines import with_complete_objects

__all__ = ['with_complete_objects']
