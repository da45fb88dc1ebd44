"""PointDistiller: local graphs of points."""
from mmkd.methods.pointdistiller.distiller import PointDistiller
from mmkd.methods.pointdistiller.thinning import thin

__all__ = ['PointDistiller', 'thin']
