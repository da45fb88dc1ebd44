"""MGD: masked generative distillation."""
from mmkd.methods.mgd.distiller import MGD

__all__ = ['MGD']
