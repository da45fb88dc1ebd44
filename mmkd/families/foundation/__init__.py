"""Networks of other libraries as teachers: timm, transformers, files.

The classes of the libraries are imported when a config names them
(``mmkd.registry``).
"""
from mmkd.families.foundation.family import FoundationFamily
from mmkd.families.foundation.network import Card, FoundationNetwork

__all__ = ['Card', 'FoundationFamily', 'FoundationNetwork']
