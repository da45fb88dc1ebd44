"""ND: norm and direction of embeddings (KD++, ReviewKD++)."""
from mmkd.methods.nd.distiller import ND

__all__ = ['ND']
