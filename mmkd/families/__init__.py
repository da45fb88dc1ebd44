"""Conventions of the libraries' networks; see docs/add_a_family.md."""
from torch import nn

from mmkd.families.base import (FAMILIES, Family, is_attention, is_transformer,
                                register_family)
from mmkd.families.foundation import FoundationFamily
from mmkd.families.mmdet import MMDetFamily
from mmkd.families.mmdet3d import MMDet3DFamily
from mmkd.families.mmseg import MMSegFamily
from mmkd.families.taps import KnownTap, Place

__all__ = [
    'FAMILIES', 'Family', 'FoundationFamily', 'KnownTap', 'MMDet3DFamily',
    'MMDetFamily', 'MMSegFamily', 'Place', 'family_of', 'is_attention',
    'is_transformer', 'register_family'
]

# The last one takes precedence: mmdet3d's detectors derive from mmdet's.
for _family in (MMDetFamily, MMDet3DFamily, MMSegFamily, FoundationFamily):
    register_family(_family)


class _UnknownFamily(MMDet3DFamily):
    """Networks of unknown libraries, which may have any standard place."""
    name = visualizer = ''
    example_batch = Family.example_batch


_UNKNOWN = _UnknownFamily()


def family_of(network: nn.Module) -> Family:
    """The family of a network.

    A network of an unknown library is searched for every standard place, and
    its example is an image without ground truth.
    """
    return next((x for x in FAMILIES if x.matches(network)), _UNKNOWN)
