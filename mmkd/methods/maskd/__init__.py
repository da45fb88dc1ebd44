"""MasKD: distances within regions that receptive tokens choose."""
from mmkd.methods.maskd.distiller import MasKD
from mmkd.methods.maskd.tokens import ReceptiveTokens

__all__ = ['MasKD', 'ReceptiveTokens']
