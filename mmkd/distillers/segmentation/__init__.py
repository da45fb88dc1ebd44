"""Methods for semantic segmentation."""
from mmkd.distillers.segmentation.bpkd import BPKD

__all__ = ['BPKD']
