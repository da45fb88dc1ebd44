"""FGD: focal and global distillation."""
from mmkd.methods.fgd.distiller import FGD

__all__ = ['FGD']
