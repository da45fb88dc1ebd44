"""FeatureKD: features by cosine and smooth L1."""
from mmkd.methods.feature_kd.distiller import FeatureKD

__all__ = ['FeatureKD']
