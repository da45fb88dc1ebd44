"""CrossKD: cross-head distillation of dense detectors."""
from mmkd.methods.crosskd.distiller import CrossKD

__all__ = ['CrossKD']
