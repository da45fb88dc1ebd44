"""BPKD: boundary privileged knowledge distillation."""
from mmkd.methods.bpkd.distiller import BPKD

__all__ = ['BPKD']
