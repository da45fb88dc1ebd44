"""ACAM-KD: adaptive and cooperative attention masking."""
from mmkd.methods.acam.distiller import ACAM

__all__ = ['ACAM']
