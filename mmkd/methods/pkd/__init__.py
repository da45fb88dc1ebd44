"""PKD: Pearson-correlation distillation."""
from mmkd.methods.pkd.distiller import PKD

__all__ = ['PKD']
