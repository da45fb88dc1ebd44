"""TransKD: distillation of transformers for segmentation."""
from mmkd.methods.transkd.distiller import TransKD

__all__ = ['TransKD']
