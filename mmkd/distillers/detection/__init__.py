"""Methods for detection in images."""
from mmkd.distillers.detection.fgd import FGD

__all__ = ['FGD']
