"""SimilarityKD: similarities to a queue, and between the cells of an image."""
from mmkd.methods.similarity_kd.distiller import SimilarityKD

__all__ = ['SimilarityKD']
