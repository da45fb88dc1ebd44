"""Distillation of class scores, cell by cell."""
from mmkd.methods.logits_kd.distiller import LogitsKD

__all__ = ['LogitsKD']
