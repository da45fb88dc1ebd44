"""Identifying taps by the standard places of a network's family."""
from dataclasses import replace
from typing import Optional

from torch import nn

from mmkd.core.taps.tap import Tap
from mmkd.families import KnownTap, family_of


def recognise(network: nn.Module, tap: Tap) -> Optional[KnownTap]:
    """Look a tap up among the standard places of a network.

    Taps from the config are recognised like default taps, also if they select
    levels of a place, such as ``'neck[1:3]'`` of ``'neck'``.

    Args:
        network (nn.Module): The network.
        tap (Tap): A tap of it.

    Returns:
        KnownTap | None: The meaning of its first tensor; the others are the
        following levels. None if no place has the tap.
    """
    family = family_of(network)
    path = replace(tap, network=None).path
    part: Optional[KnownTap] = None
    for place in reversed(list(family.places)):
        for known in family.taps(network, place):
            whole = Tap.parse(known.tap)
            if whole.path == path:
                return known
            same = (whole.module, whole.where) == (tap.module, tap.where)
            if part is None and same and not whole.index and len(
                    tap.index) == 1:
                first = tap.index[0]
                if isinstance(first, slice):
                    first = first.start or 0
                if isinstance(first, int):
                    part = known._replace(level=known.level + first)
    return part
