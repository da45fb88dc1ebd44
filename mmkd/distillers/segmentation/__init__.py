"""Methods for semantic segmentation."""
from mmkd.distillers.segmentation.bpkd import BPKD
from mmkd.distillers.segmentation.transkd import TransKD

__all__ = ['BPKD', 'TransKD']
