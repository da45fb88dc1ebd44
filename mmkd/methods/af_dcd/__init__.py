"""Af-DCD: augmentation-free dense contrastive distillation."""
from mmkd.methods.af_dcd.distiller import AfDCD

__all__ = ['AfDCD']
