"""LD: localization distillation."""
from mmkd.methods.ld.distiller import LD

__all__ = ['LD']
