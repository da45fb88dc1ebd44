"""CIRKD: cross-image relational distillation."""
from mmkd.methods.cirkd.distiller import CIRKD

__all__ = ['CIRKD']
