"""UniDistill: across sensors, in bird's-eye view."""
from mmkd.methods.unidistill.distiller import UniDistill

__all__ = ['UniDistill']
