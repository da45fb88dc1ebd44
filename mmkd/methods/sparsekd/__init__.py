"""SparseKD: pivotal positions and the teacher's boxes as labels."""
from mmkd.methods.sparsekd.distiller import SparseKD

__all__ = ['SparseKD']
