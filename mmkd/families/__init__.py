"""What mmkd knows about families of networks; see docs/add_a_family.md."""
from torch import nn

from mmkd.families.base import FAMILIES, Family, register_family
from mmkd.families.mmdet import MMDetFamily
from mmkd.families.mmdet3d import MMDet3DFamily
from mmkd.families.mmseg import MMSegFamily
from mmkd.families.taps import KnownTap, Place

__all__ = [
    'FAMILIES', 'Family', 'KnownTap', 'MMDet3DFamily', 'MMDetFamily',
    'MMSegFamily', 'Place', 'family_of', 'register_family'
]

# The last one is asked first: mmdet3d's detectors derive from mmdet's.
for _family in (MMDetFamily, MMDet3DFamily, MMSegFamily):
    register_family(_family)


class _UnknownFamily(MMDet3DFamily):
    """Networks of no known library, in which any place may be found."""
    name = ''
    example_batch = Family.example_batch


_UNKNOWN = _UnknownFamily()


def family_of(network: nn.Module) -> Family:
    """The family of a network.

    Of a network of no known library, every standard place is looked for, and
    its example is an image without ground truth.
    """
    return next((x for x in FAMILIES if x.matches(network)), _UNKNOWN)
